/* For tests of convolution plans without a GPU: devices that are only described, short ways to plan for them,
 * and the different convolutions among the many that programs issue. Failures end the running test. */
#ifndef NASRUN_TESTS_GPU_PLAN_SHAPES_H
#define NASRUN_TESTS_GPU_PLAN_SHAPES_H

#include "cuda/conv/conv.h"

/* ---- devices ---- */

struct plan_profile {
    const char *file, *name;
    enum cuda_type type; /* bf16 from compute capability 8.0 on */
};

enum { PLAN_H100 = 1, PLAN_T4 = 4, PLAN_PROFILES = 5 };
extern const struct plan_profile plan_profiles[PLAN_PROFILES];

/* The defaults of a device: deterministic, strict float, no cache. */
struct conv_options plan_options(enum cuda_type type);

struct conv_planner *plan_open(const struct plan_profile *profile, const struct conv_options *options);

/* Plans, which must succeed. */
struct conv_plan_info plan_for(struct conv_planner *planner, enum conv_kind kind,
                               const struct conv_geometry *geometry, size_t *workspace);

/* The same; false where the kind is fused and there is none. */
bool plan_try(struct conv_planner *planner, enum conv_kind kind, const struct conv_geometry *geometry,
              struct conv_plan_info *info, size_t *workspace);

/* n square images of c channels to as many of `outputs` channels of the same size, by a kernel of an odd
 * side. */
struct conv_geometry plan_square(int32_t n, int32_t c, int32_t side, int32_t outputs, int32_t kernel,
                                 int32_t groups);

/* A group setup of cmocka: loads the stand-in driver, driver/libcuda.so.1 beside the program, which cuDNN's
 * compiled engines want to be there. */
int plan_load_driver(void **state);

/* ---- shapes ---- */

struct plan_shape {
    enum conv_kind kind;
    struct conv_geometry geometry;
};

/* A growing list without equals. */
struct plan_shapes {
    int32_t count, capacity;
    struct plan_shape *list;
    int32_t graphs, operations; /* how many were read */
};

void plan_shapes_free(struct plan_shapes *shapes);

/* Adds the convolutions of the graph's training and evaluation programs, those that a batch norm in inference can be
 * folded into also with what they are fused with. Fails the running test on an error. */
void plan_shapes_add(struct plan_shapes *shapes, const struct graph *graph, int32_t batch);

/* Adds all starting architectures for the image at that batch. width: as in start_make. */
void plan_shapes_add_starts(struct plan_shapes *shapes, struct shape image, int32_t classes, int32_t width,
                            int32_t batch);

/* Adds `count` graphs: starting architectures of small widths, each grown by one to twelve drawn morphs. */
void plan_shapes_add_grown(struct plan_shapes *shapes, int32_t count, int32_t batch);

#endif
