#include "tests/gpu/plan_shapes.h"

#include "host/base/file.h"
#include "host/morph/morph.h"
#include "host/net/start.h"
#include "host/program/lower.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- devices ---- */

const struct plan_profile plan_profiles[PLAN_PROFILES] = {
    {"tests/gpu/devices/a100.json", "A100", CUDA_BF16}, {"tests/gpu/devices/h100.json", "H100", CUDA_BF16},
    {"tests/gpu/devices/b200.json", "B200", CUDA_BF16}, {"tests/gpu/devices/l40s.json", "L40S", CUDA_BF16},
    {"tests/gpu/devices/t4.json", "T4", CUDA_FLOAT},
};

struct conv_options plan_options(enum cuda_type type)
{
    return (struct conv_options){
        .type = type, .deterministic = true, .workspace_limit = CONV_WORKSPACE_LIMIT, .timed = 1};
}

struct conv_planner *plan_open(const struct plan_profile *profile, const struct conv_options *options)
{
    struct conv_planner *planner;
    struct error err = {0};
    char *description;
    size_t length;
    if (file_read(profile->file, &description, &length, &err) != ST_OK)
        fail_msg("%s", err.message);
    description[strcspn(description, "\n")] = '\0';
    if (conv_planner_open_described(description, options, &planner, &err) != ST_OK)
        fail_msg("%s: %s", profile->name, err.message);
    free(description);
    return planner;
}

struct conv_plan_info plan_for(struct conv_planner *planner, enum conv_kind kind,
                               const struct conv_geometry *geometry, size_t *workspace)
{
    const struct conv_plan *made;
    struct error err = {0};
    if (conv_planner_plan(planner, kind, geometry, &made, &err) != ST_OK)
        fail_msg("%s", err.message);
    *workspace = conv_plan_workspace(made);
    return conv_plan_describe(made);
}

bool plan_try(struct conv_planner *planner, enum conv_kind kind, const struct conv_geometry *geometry,
              struct conv_plan_info *info, size_t *workspace)
{
    const struct conv_plan *made;
    struct error err = {0};
    enum status st = conv_planner_plan(planner, kind, geometry, &made, &err);
    if (st == ST_UNSUPPORTED && conv_is_fused(kind))
        return false;
    *info = plan_for(planner, kind, geometry, workspace);
    return true;
}

struct conv_geometry plan_square(int32_t n, int32_t c, int32_t side, int32_t outputs, int32_t kernel,
                                 int32_t groups)
{
    struct conv_geometry geometry;
    conv_geometry_of((struct shape){n, c, side, side}, (struct shape){n, outputs, side, side},
                     &(struct conv_window){kernel, kernel, 1, kernel / 2, kernel / 2, groups}, &geometry);
    return geometry;
}

/* dlopen finds by name what is loaded already, so cuDNN will get this one. */
int plan_load_driver(void **state)
{
    (void)state;
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 32);
    if (length <= 0)
        return -1;
    path[length] = '\0';
    char *slash = strrchr(path, '/');
    strcpy(slash != NULL ? slash : path, "/driver/libcuda.so.1");
    if (dlopen(path, RTLD_NOW | RTLD_GLOBAL) != NULL)
        return 0;
    print_error("%s\n", dlerror());
    return -1;
}

/* ---- shapes ---- */

static const char *const starts[] = {"lean", "cnn", "resnet", "densenet"};
enum {
    START_COUNT = sizeof(starts) / sizeof(*starts),
    /* Depthwise convolutions have a test of their own: cuDNN compiles their plans, which takes it half a second each.
     */
    MOST_MORPHS = ((1 << MORPH_PRESERVING_COUNT) - 1) & ~(1 << MORPH_SEPARABLE),
    MAX_MORPHS = 12
};

void plan_shapes_free(struct plan_shapes *shapes)
{
    free(shapes->list);
    *shapes = (struct plan_shapes){0};
}

static void add(struct plan_shapes *shapes, const struct plan_shape *shape)
{
    shapes->operations++;
    for (int32_t i = 0; i < shapes->count; i++)
        if (shapes->list[i].kind == shape->kind &&
            memcmp(&shapes->list[i].geometry, &shape->geometry, sizeof(shape->geometry)) == 0)
            return;
    if (shapes->count == shapes->capacity) {
        shapes->capacity = shapes->capacity > 0 ? 2 * shapes->capacity : 256;
        shapes->list = realloc(shapes->list, (size_t)shapes->capacity * sizeof(*shapes->list));
        assert_non_null(shapes->list);
    }
    shapes->list[shapes->count++] = *shape;
}

static void add_operation(struct plan_shapes *shapes, const struct program *program, const struct prog_op *op)
{
    const struct prog_tensor *tensors = program->tensors;
    struct plan_shape shape;
    int32_t x, y;
    switch (op->kind) {
    case PROG_OP_CONV:
        shape.kind = CONV_FORWARD;
        x = op->inputs[CONV_IN_X];
        y = op->outputs[CONV_OUT_Y];
        break;
    case PROG_OP_CONV_BACKWARD_DATA:
        shape.kind = CONV_BACKWARD_DATA;
        x = op->outputs[CONV_BACKWARD_DATA_OUT_DX];
        y = op->inputs[CONV_BACKWARD_DATA_IN_DY];
        break;
    case PROG_OP_CONV_BACKWARD_WEIGHTS:
        shape.kind = CONV_BACKWARD_WEIGHTS;
        x = op->inputs[CONV_BACKWARD_WEIGHTS_IN_X];
        y = op->inputs[CONV_BACKWARD_WEIGHTS_IN_DY];
        break;
    default:
        return;
    }
    const struct conv_window window = {op->window.kernel_h, op->window.kernel_w, op->window.stride,
                                       op->window.pad_h,    op->window.pad_w,    op->window.groups};
    conv_geometry_of(tensors[x].shape, tensors[y].shape, &window, &shape.geometry);
    assert_int_equal(conv_out_height(&shape.geometry), tensors[y].shape.h);
    assert_int_equal(conv_out_width(&shape.geometry), tensors[y].shape.w);
    add(shapes, &shape);
}

/* A convolution that only a batch norm in inference reads becomes one operation with it. */
static void add_fused(struct plan_shapes *shapes, const struct program *program, const struct prog_op *conv)
{
    const struct prog_op *reader = NULL;
    int32_t readers = 0, y = conv->outputs[CONV_OUT_Y];
    for (int32_t i = 0; i < program->op_count; i++)
        for (int32_t k = 0; k < program->ops[i].input_count; k++)
            if (program->ops[i].inputs[k] == y) {
                reader = &program->ops[i];
                readers++;
            }
    if (readers != 1 || reader->kind != PROG_OP_BATCH_NORM_INFERENCE ||
        reader->inputs[BATCH_NORM_INFERENCE_IN_X] != y)
        return;
    struct plan_shape shape = {
        .kind = conv_fused_kind(reader->inputs[BATCH_NORM_INFERENCE_IN_ADDEND] >= 0, reader->norm.relu)};
    const struct conv_window window = {conv->window.kernel_h, conv->window.kernel_w, conv->window.stride,
                                       conv->window.pad_h,    conv->window.pad_w,    conv->window.groups};
    conv_geometry_of(program->tensors[conv->inputs[CONV_IN_X]].shape, program->tensors[y].shape, &window,
                     &shape.geometry);
    add(shapes, &shape);
}

void plan_shapes_add(struct plan_shapes *shapes, const struct graph *graph, int32_t batch)
{
    struct error err = {0};
    shapes->graphs++;
    for (int evaluate = 0; evaluate < 2; evaluate++) {
        struct program program = {0};
        const struct lower_options options = {
            .purpose = evaluate ? PROG_EVALUATE : PROG_TRAIN, .batch = batch, .batch_norm_momentum = 0.1f};
        if (lower_graph(graph, &options, &program, &err) != ST_OK)
            fail_msg("%s", err.message);
        for (int32_t i = 0; i < program.op_count; i++) {
            add_operation(shapes, &program, &program.ops[i]);
            if (evaluate && program.ops[i].kind == PROG_OP_CONV)
                add_fused(shapes, &program, &program.ops[i]);
        }
        program_free(&program);
    }
}

void plan_shapes_add_starts(struct plan_shapes *shapes, struct shape image, int32_t classes, int32_t width,
                            int32_t batch)
{
    for (int32_t s = 0; s < START_COUNT; s++) {
        struct graph graph;
        struct error err = {0};
        if (start_make(&graph, starts[s], width, image, classes, &err) != ST_OK)
            fail_msg("%s", err.message);
        plan_shapes_add(shapes, &graph, batch);
        graph_free(&graph);
    }
}

/* Replaces the graph by a child of it. */
static void grow(struct graph *graph, struct random_sequence *random)
{
    struct morph morph;
    struct graph child = {0};
    struct remap_list remaps = {0};
    struct error err = {0};
    if (morph_draw(graph, MOST_MORPHS, random, &morph, &err) != ST_OK ||
        morph_apply(&morph, graph, 0.0f, &child, &remaps, &err) != ST_OK)
        fail_msg("%s", err.message);
    remap_list_free(&remaps);
    graph_free(graph);
    *graph = child;
}

void plan_shapes_add_grown(struct plan_shapes *shapes, int32_t count, int32_t batch)
{
    static const struct shape images[] = {{0, 1, 28, 28}, {0, 3, 32, 32}, {0, 3, 64, 64}};
    for (int32_t i = 0; i < count; i++) {
        struct random_sequence random = {.seed = 11, .stream = RANDOM_SEARCH, .part = (uint32_t)i};
        struct graph graph;
        struct error err = {0};
        const char *start = starts[i % START_COUNT];
        int32_t width = 8 << random_next_below(&random, 4),
                classes = 2 + (int32_t)random_next_below(&random, 200);
        if (start_make(&graph, start, width, images[random_next_below(&random, 3)], classes, &err) != ST_OK)
            fail_msg("%s", err.message);
        for (uint32_t m = 1 + random_next_below(&random, MAX_MORPHS); m > 0; m--)
            grow(&graph, &random);
        plan_shapes_add(shapes, &graph, batch);
        graph_free(&graph);
    }
}
