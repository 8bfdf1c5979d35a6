/* A graph ready to run on a device: opening everything in the order that device.h prescribes. */
#include "tests/support/device_session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void demand(struct device_session *session, enum status st)
{
    if (st != ST_OK)
        fail_msg("%s", session->err.message);
}

void session_bind(struct device_session *session)
{
    demand(session,
           session->ops->program_bind(session->device, session->prepared, &session->binding, &session->err));
}

void session_upload(struct device_session *session)
{
    demand(session, session->ops->weights_upload(session->device, session->weights, SLOT_VALUE,
                                                 session->values, &session->err));
}

void session_open(struct device_session *session, const struct device_ops *ops, const struct graph *graph,
                  const struct lower_options *options, int32_t image_count, uint64_t seed)
{
    session_open_on(session, ops, &(struct device_options){.threads = 1, .untimed = true}, graph, options,
                    image_count, seed);
}

void session_open_on(struct device_session *session, const struct device_ops *ops,
                     const struct device_options *device_options, const struct graph *graph,
                     const struct lower_options *options, int32_t image_count, uint64_t seed)
{
    struct device *device = NULL;
    struct error err;
    if (ops->open(device_options, &device, &err) != ST_OK)
        fail_msg("%s", err.message);
    session_open_with(session, ops, device, graph, options, image_count, seed);
    session->opened = true;
}

void session_open_with(struct device_session *session, const struct device_ops *ops, struct device *device,
                       const struct graph *graph, const struct lower_options *options, int32_t image_count,
                       uint64_t seed)
{
    struct error *err = &session->err;
    memset(session, 0, sizeof(*session));
    session->ops = ops;
    session->device = device;
    demand(session, lower_graph(graph, options, &session->program, err));
    demand(session, random_images_make(&session->images, graph, image_count, seed, err));
    if (options->sets)
        random_images_use_sets(&session->images, seed);
    demand(session, ops->dataset_upload(session->device, &session->images.view, &session->dataset, err));
    demand(session, ops->weights_new(session->device, &session->program.weights, SLOT_GRADIENT,
                                     &session->weights, err));
    session->values = malloc(session->program.weights.total * sizeof(*session->values));
    session->samples = malloc((size_t)image_count * sizeof(*session->samples));
    assert_non_null(session->values);
    assert_non_null(session->samples);
    for (int32_t i = 0; i < image_count; i++)
        session->samples[i] = i;
    random_graph_weights(&session->program.weights, seed, session->values);
    session_upload(session);
    demand(session,
           ops->weights_upload(session->device, session->weights, SLOT_AVERAGE, session->values, err));
    demand(session, ops->program_prepare(session->device, &session->program, &session->prepared, err));
    session->binding = (struct device_binding){
        .weights = session->weights,
        .dataset = session->dataset,
        .samples = session->samples,
        .sample_count = image_count,
        .optimizer = {.kind = options->orthogonalise ? OPTIMIZER_MUON : OPTIMIZER_SGD,
                      .momentum = 0.9f,
                      .second = 0.999f,
                      .decay = 0.01f,
                      .bias_rate = 3.0f,
                      .bias_decay = 0.02f,
                      .muon_rate = 0.5f},
    };
    session_bind(session);
}

void session_enlarge(struct device_session *session, int32_t height, int32_t width, uint64_t seed)
{
    const struct dataset_view view = session->images.view;
    const struct shape larger = {0, view.channels, view.height + height, view.width + width};
    struct layer layers[] = {{.kind = LAYER_INPUT, .shape = larger},
                             {.kind = LAYER_DENSE, .out_channels = view.classes}};
    const struct graph graph = {.count = 2, .layers = layers}; /* random_images_make reads no more of it */
    session->ops->dataset_free(session->device, session->dataset);
    session->dataset = NULL;
    random_images_free(&session->images);
    demand(session, random_images_make(&session->images, &graph, view.count, seed, &session->err));
    if (view.label_sets != NULL)
        random_images_use_sets(&session->images, seed);
    demand(session, session->ops->dataset_upload(session->device, &session->images.view, &session->dataset,
                                                 &session->err));
    session->binding.dataset = session->dataset;
    session_bind(session);
}

void session_close(struct device_session *session)
{
    const struct device_ops *ops = session->ops;
    ops->program_free(session->device, session->prepared);
    ops->weights_free(session->device, session->weights);
    ops->dataset_free(session->device, session->dataset);
    if (session->opened)
        ops->close(session->device);
    program_free(&session->program);
    random_images_free(&session->images);
    free(session->samples);
    free(session->values);
    memset(session, 0, sizeof(*session));
}

int32_t session_find_op(const struct device_session *session, enum prog_op_kind kind, int32_t nth)
{
    for (int32_t i = 0; i < session->program.op_count; i++)
        if (session->program.ops[i].kind == kind && nth-- == 0)
            return i;
    return -1;
}

size_t session_count(const struct device_session *session, int32_t tensor)
{
    struct shape shape = session->program.tensors[tensor].shape;
    return (size_t)shape.n * (size_t)shape.c * (size_t)shape.h * (size_t)shape.w;
}

float *session_read(struct device_session *session, int32_t tensor)
{
    float *values = malloc(session_count(session, tensor) * sizeof(*values));
    assert_non_null(values);
    demand(session,
           session->ops->program_tensor(session->device, session->prepared, tensor, values, &session->err));
    return values;
}

void session_write(struct device_session *session, int32_t tensor, const float *values)
{
    const struct prog_tensor *written = &session->program.tensors[tensor];
    if (written->kind == TENSOR_WEIGHT) {
        memcpy(session->values + session->program.weights.tensors[written->weight].offset, values,
               session_count(session, tensor) * sizeof(*values));
        session_upload(session);
        return;
    }
    demand(session, session->ops->program_set_tensor(session->device, session->prepared, tensor, values,
                                                     &session->err));
}

void session_run_op(struct device_session *session, int32_t op, const struct step *step)
{
    demand(session,
           session->ops->program_run_op(session->device, session->prepared, op, step, &session->err));
}

void session_run(struct device_session *session, const struct step *step)
{
    demand(session, session->ops->program_run(session->device, session->prepared, step, &session->err));
}
