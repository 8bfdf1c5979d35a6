/* Lowering: a graph becomes a program; automatic differentiation and fusion happen here. Fusion: batch norm + ReLU,
 * batch norm + add (+ ReLU) become one operation where nothing else reads what lies between. The other activations stay
 * operations of their own, and so do adds whose branch is sometimes left out. A residual block ends with an add; its
 * branch is the operand with more layers before it. */
#ifndef NASRUN_PROGRAM_LOWER_H
#define NASRUN_PROGRAM_LOWER_H

#include "host/program/program.h"

struct lower_options {
    enum prog_purpose purpose;
    int32_t batch;
    bool augment;        /* train only */
    bool weight_average; /* train only: whether a weight_average operation ends the step */
    bool orthogonalise;  /* train only: for Muon; an orthogonalisation for each hidden kernel */
    /* train only: devices of the group over which gradients are averaged, each with `batch` rows; 1 or 0: the device is
     * alone */
    int32_t members;
    /* train only: of the last residual block's branch, the share of images for which it is left out, below 1; of those
     * before it proportionally less (drop_path.h); 0: none */
    float drop_path;
    float label_smoothing;     /* train only; evaluation uses 0 */
    float focal;               /* train only: gamma of the focal loss; 0: none */
    bool weighted;             /* train only: by the dataset's class weights */
    bool sets;                 /* labels are sets of classes */
    float batch_norm_momentum; /* share of the batch in the running statistics, 0.1 by default */
};

/* `graph` must be inferred. The program is the caller's to free. */
enum status lower_graph(const struct graph *graph, const struct lower_options *options,
                        struct program *program, struct error *err);

#endif
