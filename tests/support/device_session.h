/* A graph ready to run on a device, for tests: device, random images, weights, program, bound. Failures end
 * the test. */
#ifndef NASRUN_TESTS_SUPPORT_DEVICE_SESSION_H
#define NASRUN_TESTS_SUPPORT_DEVICE_SESSION_H

#include "host/program/lower.h"
#include "tests/support/random_graph.h"

struct device_session {
    const struct device_ops *ops;
    struct device *device;
    bool opened; /* by the session, which closes it */
    struct random_images images;
    struct device_dataset *dataset;
    struct device_weights *weights;
    struct program program;
    struct device_program *prepared;
    struct device_binding binding; /* change it and call session_bind */
    int32_t *samples;              /* [images.view.count], all images in order */
    float *values;                 /* [program.weights.total], as uploaded */
    struct error err;
};

/* Images and weights are drawn from `seed`, labels are sets where the options say so; value and average slots hold the
 * same. Bound with SGD, no shuffling, no augmentation, one thread. The device measures nothing. */
void session_open(struct device_session *session, const struct device_ops *ops, const struct graph *graph,
                  const struct lower_options *options, int32_t image_count, uint64_t seed);
/* On another device of that kind, or in another precision. */
void session_open_on(struct device_session *session, const struct device_ops *ops,
                     const struct device_options *device_options, const struct graph *graph,
                     const struct lower_options *options, int32_t image_count, uint64_t seed);
/* On a device that is open, and stays so. */
void session_open_with(struct device_session *session, const struct device_ops *ops, struct device *device,
                       const struct graph *graph, const struct lower_options *options, int32_t image_count,
                       uint64_t seed);
/* Other images, drawn anew from `seed`, by so many pixels larger than the program's: it makes them smaller. Binds. */
void session_enlarge(struct device_session *session, int32_t height, int32_t width, uint64_t seed);
void session_close(struct device_session *session);
void session_bind(struct device_session *session);

/* Uploads session->values into the value slot. */
void session_upload(struct device_session *session);

/* The program's `nth` (from 0) operation of that kind; -1. */
int32_t session_find_op(const struct device_session *session, enum prog_op_kind kind, int32_t nth);

/* Values of the operation's input or output; the caller frees. */
float *session_read(struct device_session *session, int32_t tensor);
/* A weight goes up with the others, as session->values has them. */
void session_write(struct device_session *session, int32_t tensor, const float *values);
void session_run_op(struct device_session *session, int32_t op, const struct step *step);
void session_run(struct device_session *session, const struct step *step);

/* Elements of a tensor. */
size_t session_count(const struct device_session *session, int32_t tensor);

#endif
