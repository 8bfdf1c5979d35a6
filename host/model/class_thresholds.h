/* How probable a class has to be for an answer to be taken, for a precision that is wanted: a part of exports. */
#ifndef NASRUN_MODEL_CLASS_THRESHOLDS_H
#define NASRUN_MODEL_CLASS_THRESHOLDS_H

struct class_thresholds {
    double precision;     /* share of the answers from a threshold on that was right, of validation images */
    const double *values; /* [classes]; INFINITY: no probability is enough */
};

#endif
