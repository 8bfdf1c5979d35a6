/* A double of a GPU for tests of the planner: it plans with the real cuDNN for a described H100, and runs nothing but answers as
 * each test tells it. Its functions stand in the place of the libraries' own (plan_double.c). */
#ifndef NASRUN_TESTS_GPU_PLAN_DOUBLE_H
#define NASRUN_TESTS_GPU_PLAN_DOUBLE_H

#include "cuda/conv/conv.h"

enum { PLAN_DOUBLE_MOST = 256, PLAN_DOUBLE_NEVER = 1 << 30, PLAN_DOUBLE_SLOWED = 50 };

/* What the double shall do, and what it was asked. Reset before each test. */
struct plan_double {
    char *description;
    cudnnBackendDescriptor_t properties; /* of the planner under test */
    float
        milliseconds[PLAN_DOUBLE_MOST]; /* of a run of plan 1, 2, ... in order of their making; 0: refused */
    int32_t undescribed_from, undescribed_to; /* candidates, counted from 0, whose engines tell nothing */
    int32_t unrecordable;                     /* so many plans, the first, spoil a recording */
    bool untimeable;                          /* a recording can't hold events */
    int32_t allocations_before_failure, failing_allocations;
    int32_t slowed_from,
        slowed_to; /* measurements, counted from 0, that take PLAN_DOUBLE_SLOWED times as long */
    bool broken;   /* whatever waits for the device fails */
    int32_t plans, executions, measurements, allocations, refused_allocations, alive, events, handles,
        streams, graphs, described;
    int32_t recordings;           /* ended well */
    struct CUgraph_st *recording; /* NULL: none */
    bool spoilt;
    cudnnBackendDescriptor_t made[PLAN_DOUBLE_MOST];
    struct CUgraph_st *ran; /* replayed last */
};

extern struct plan_double plan_double;

/* cmocka's set-up and tear-down of a test: a fresh double, of which every plan takes 8 ms; nothing of it is left. */
int plan_double_begin(void **state);
int plan_double_end(void **state);

#endif
