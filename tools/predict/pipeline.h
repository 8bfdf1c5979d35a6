/* From where the images come to the lines of their answers: threads that each take a batch of images, decode it, run
 * the network, and write the batch's lines once those of all earlier batches are written. What comes out depends
 * neither on how many threads there are nor on who is fastest. */
#ifndef NASRUN_TOOLS_PREDICT_PIPELINE_H
#define NASRUN_TOOLS_PREDICT_PIPELINE_H

#include "tools/predict/answers.h"
#include "tools/predict/source.h"

/* What became of the images. */
struct pipeline_count {
    int64_t classified, failed;
};

/* Classifies all images of the source. Lines of answers go to stdout, lines of those that failed to stderr. On error
 * too the counts hold. */
enum status pipeline_run(const struct predict_options *options, struct source *source,
                         const struct model *model, const struct answer_style *style,
                         struct pipeline_count *count, struct error *err);

#endif
