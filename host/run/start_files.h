/* Starting networks that are files (search.starts, baseline.start): networks that were trained elsewhere, which the
 * search goes on from, or is compared with. A model.safetensors of an earlier run, or a classifier in ONNX. What begins
 * with fresh weights elsewhere begins with the file's here: each training of such a start, whatever the strategy, and
 * so all that grows from it by morphs. */
#ifndef NASRUN_RUN_START_FILES_H
#define NASRUN_RUN_START_FILES_H

#include "host/data/dataset.h"
#include "host/model/model_file.h"
#include "host/onnx/onnx_read.h"
#include "spec/job.h"

struct start_file {
    const char *path; /* the job's; NULL: that start is a word, and all else is zero */
    char hash[MODEL_HASH_LENGTH];
    struct onnx_origin origin; /* what an ONNX file says of itself */
    bool keeps_head; /* its classes are the data's, in their order; else the last layer is a new one */
    bool recorded;   /* it is in the journal */
    struct weight_table table;
    float *values;
};

struct start_files {
    int32_t count; /* as search.starts has, and one more for the baseline's; 0: none is a file */
    bool searched; /* one of search.starts is */
    struct start_file *items;
    /* [count], for these data; without layers where the start is a word. NULL: none is a file */
    struct graph *graphs;
    /* Images as the files' networks want them, per channel; where a file does not say, `normalise` is false. */
    bool normalise;
    float mean[4], deviation[4];
};

/* Reads one of them; the origin of a model.safetensors is empty. On any status the model is to be freed. */
enum status start_file_read(const char *path, struct model *model, struct onnx_origin *origin,
                            struct error *err);

/* Reads them: search.starts, and behind them, where that names a network (job.h), baseline.start. Where the last layer
 * is replaced, the others have the pace that train.depth_rate says. A network that takes images of any size takes the
 * data's. ST_RANGE for images of another size where it doesn't, of another number of channels than the data's, and for
 * two files that normalise images in different ways; the message names the key, the file, what was found and what was
 * expected. On any status `files` is to be closed. */
enum status start_files_open(const struct job *job, const struct dataset *data, struct start_files *files,
                             struct error *err);
void start_files_close(struct start_files *files); /* a zeroed one is allowed */

/* The key that names start `start`, and its name; the baseline's is the one behind the last of search.starts. */
const char *start_files_key(const struct job *job, int32_t start);
const char *start_files_name(const struct job *job, int32_t start);

/* What the file of `start` has of a network's weights is put into values[table->total]: the tensors of the same layer,
 * role and shape. The others stay. Where `start` is a word, or none (-1), all do. */
void start_files_fill(const struct start_files *files, int32_t start, const struct weight_table *table,
                      float *values);

#endif
