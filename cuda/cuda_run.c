/* The step: its parameters, its operations, and the graph they are recorded in. */
#include "cuda/cuda_internal.h"

#include <math.h>

typedef enum status run_function(struct device_program *prepared, int32_t op, struct error *err);

static run_function *const run_functions[PROG_OP_KIND_COUNT] = {
#define PROG_OP(KIND, name, text) [PROG_OP_##KIND] = cuda_run_##name,
#include "host/program/ops.def"
#undef PROG_OP
};

static enum status check_step(const struct device_program *prepared, const struct step *step,
                              struct error *err)
{
    if (prepared->memory == NULL || prepared->weights_serial == 0)
        return error_set(err, ST_RANGE, "step: the program is not bound");
    if (step->valid < 1 || step->valid > prepared->program->batch)
        return error_set(err, ST_RANGE, "step: %d rows, expected 1 to %d", (int)step->valid,
                         (int)prepared->program->batch);
    if ((int64_t)step->first + step->valid > prepared->binding.sample_count)
        return error_set(err, ST_RANGE, "step: rows %u to %lld, expected at most %d samples",
                         (unsigned)step->first, (long long)step->first + step->valid,
                         (int)prepared->binding.sample_count);
    return ST_OK;
}

/* ---- parameters ---- */

static struct cuda_step parameters(const struct step *step, const struct optimizer *optimizer)
{
    struct cuda_step p = {.seed = step->seed,
                          .number = step->number,
                          .epoch = step->epoch,
                          .first = step->first,
                          .row = step->row,
                          .valid = step->valid,
                          .learning_rate = step->learning_rate,
                          .average_decay = step->average_decay};
    double t = (double)step->number + 1;
    if (optimizer->kind == OPTIMIZER_ADAMW) {
        p.first_scale = (float)(1.0 / (1.0 - pow((double)optimizer->momentum, t)));
        p.second_scale = (float)(1.0 / (1.0 - pow((double)optimizer->second, t)));
    }
    return p;
}

/* Queues the copy of the step's parameters. A half of the ring is written again only when the device has read
 * it: the host waits here, and only here, when it is a ring ahead. */
static enum status send_step(struct device_program *prepared, const struct step *step, struct error *err)
{
    struct device *device = prepared->device;
    uint64_t slot = device->uploads % CUDA_RING, half = slot / (CUDA_RING / 2);
    bool begins = slot % (CUDA_RING / 2) == 0, ends = (slot + 1) % (CUDA_RING / 2) == 0;
    enum status st = ST_OK;
    if (begins && device->uploads >= CUDA_RING)
        st = cuda_wait_event(device, device->half_read[half], "finish its steps", err);
    if (st != ST_OK)
        return st;
    device->ring[slot] = parameters(step, &prepared->binding.optimizer);
    st = cuda_check(cudaMemcpyAsync(device->step, &device->ring[slot], sizeof *device->step,
                                    cudaMemcpyHostToDevice, device->stream),
                    "send a step's parameters", err);
    if (st == ST_OK && ends)
        st = cuda_check(cudaEventRecord(device->half_read[half], device->stream), "record an event", err);
    if (st == ST_OK)
        device->uploads++;
    return st;
}

/* ---- operations ---- */

/* whole: as part of a whole step, where batch norms do their convolutions' work (cuda_fold.c), and the optimizer that of the
 * weight average. */
static enum status run_one(struct device_program *prepared, int32_t index, bool whole, struct error *err)
{
    const struct prog_op *op = &prepared->program->ops[index];
    const struct cuda_op *state = &prepared->ops[index];
    if (whole && state->folded_away)
        return ST_OK;
    run_function *run = whole && state->folded_conv >= 0         ? cuda_run_folded
                        : whole && op->kind == PROG_OP_OPTIMIZER ? cuda_run_update
                                                                 : run_functions[op->kind];
    if (run(prepared, index, err) != ST_OK)
        return error_prefix(err, "%s, operation %d of layer %u", prog_op_name(op->kind), (int)index,
                            (unsigned)op->layer_id);
    return ST_OK;
}

/* What becomes of a step's collectives. AWAITED: each before anything else is queued. The driver loads a kernel when it is
 * launched for the first time, and may wait for all of the device then; a collective that is under way there waits for another
 * member, whose launches may wait for the driver. So in a group's first step nothing is loaded while a collective runs. */
enum collectives { QUEUED, AWAITED, LEFT_OUT };

static bool is_collective(enum prog_op_kind kind)
{
    return kind == PROG_OP_ALL_REDUCE || kind == PROG_OP_AVERAGE_STATISTICS;
}

/* Queues all operations. The optimizer waits for a group's all-reduces. */
static enum status run_all(struct device_program *prepared, enum collectives collectives, struct error *err)
{
    const struct program *program = prepared->program;
    enum status st = ST_OK;
    for (int32_t op = 0; st == ST_OK && op < program->op_count; op++) {
        const enum prog_op_kind kind = program->ops[op].kind;
        if (is_collective(kind) && collectives == LEFT_OUT)
            continue;
        if (kind == PROG_OP_OPTIMIZER)
            st = cuda_group_join(prepared, err);
        if (st == ST_OK)
            st = run_one(prepared, op, true, err);
        if (st == ST_OK && is_collective(kind) && collectives == AWAITED)
            st = cuda_group_settle(prepared, err);
    }
    return st;
}

/* The weights of a program change in its optimizer, which makes their copies too; their averages after it. */
static bool changes_weights(enum prog_op_kind kind)
{
    return kind == PROG_OP_OPTIMIZER || kind == PROG_OP_WEIGHT_AVERAGE;
}

static void weights_changed(struct device_program *prepared)
{
    prepared->copied_version = ++prepared->binding.weights->version;
}

/* ---- graph ---- */

static void drop_graph(struct device_program *prepared)
{
    if (prepared->graph != NULL)
        (void)cudaGraphExecDestroy(prepared->graph);
    prepared->graph = NULL;
}

void cuda_graph_forget(struct device_program *prepared)
{
    drop_graph(prepared);
    prepared->steps_queued = 0;
}

/* Records the operations; nothing runs. NULL when that fails: the stream is as before. */
static cudaGraphExec_t record(struct device_program *prepared, enum collectives collectives)
{
    struct device *device = prepared->device;
    struct error
        ignored; /* the step is then queued one by one, and whatever is wrong with it is found again */
    cudaGraph_t recorded = NULL;
    cudaGraphExec_t graph = NULL;
    cudaError_t error = cudaStreamBeginCapture(device->stream, cudaStreamCaptureModeThreadLocal);
    if (error == cudaSuccess) {
        enum status st = run_all(prepared, collectives, &ignored);
        error = cudaStreamEndCapture(device->stream, &recorded);
        if (error == cudaSuccess && st == ST_OK)
            error = cudaGraphInstantiate(&graph, recorded, 0);
    }
    if (recorded != NULL)
        (void)cudaGraphDestroy(recorded);
    if (error != cudaSuccess) {
        (void)cudaGetLastError();
        return NULL;
    }
    return graph;
}

/* Whether all members of the group could record a step without collectives: NCCL is not asked to record with some of them
 * only. */
static enum status rehearse(struct device_program *prepared, bool *able, struct error *err)
{
    *able = true;
    if (prepared->binding.group == NULL)
        return ST_OK;
    cudaGraphExec_t rehearsal = record(prepared, LEFT_OUT);
    *able = rehearsal != NULL;
    if (rehearsal != NULL)
        (void)cudaGraphExecDestroy(rehearsal);
    return cuda_group_agree(prepared, "rehearse a recording", able, err);
}

/* Fills `graph`, or finds the program unrecordable. */
static enum status make_graph(struct device_program *prepared, struct error *err)
{
    bool able;
    enum status st = rehearse(prepared, &able, err);
    if (st == ST_OK && able) {
        st = cuda_group_enter(prepared, err);
        if (st != ST_OK)
            return st;
        prepared->graph = record(prepared, QUEUED);
        cuda_group_leave(prepared);
        able = prepared->graph != NULL;
        st = cuda_group_agree(prepared, "record a step", &able, err);
    }
    if (st != ST_OK || !able)
        drop_graph(prepared);
    prepared->unrecordable = st == ST_OK && !able;
    return st;
}

enum status cuda_program_run(struct device *device, struct device_program *prepared, const struct step *step,
                             struct error *err)
{
    enum status st = check_step(prepared, step, err);
    if (st == ST_OK)
        st = cuda_enter(device, err);
    if (st == ST_OK)
        st = send_step(prepared, step, err);
    if (st == ST_OK)
        st = cuda_copies_refresh(prepared, true, err);
    if (st == ST_OK && prepared->graph == NULL && prepared->steps_queued > 0 && !prepared->unrecordable)
        st = make_graph(prepared, err);
    if (st == ST_OK)
        st = cuda_group_enter(prepared, err);
    if (st != ST_OK)
        return st;
    if (prepared->graph != NULL) {
        st = cuda_check(cudaGraphLaunch(prepared->graph, device->stream), "launch a step", err);
    } else {
        st = run_all(prepared, prepared->steps_queued == 0 ? AWAITED : QUEUED, err);
        prepared->steps_queued++;
    }
    cuda_group_leave(prepared);
    if (prepared->program->purpose == PROG_TRAIN)
        weights_changed(prepared);
    return st;
}

enum status cuda_program_run_op(struct device *device, struct device_program *prepared, int32_t index,
                                const struct step *step, struct error *err)
{
    enum status st = check_step(prepared, step, err);
    if (st == ST_OK && (index < 0 || index >= prepared->program->op_count))
        st = error_set(err, ST_RANGE, "operation %d, expected 0 to %d", (int)index,
                       (int)prepared->program->op_count - 1);
    if (st == ST_OK)
        st = cuda_enter(device, err);
    if (st == ST_OK)
        st = send_step(prepared, step, err);
    if (st == ST_OK)
        st = cuda_copies_refresh(prepared, false, err);
    if (st == ST_OK)
        st = run_one(prepared, index, false, err);
    if (st != ST_OK)
        return st;
    enum prog_op_kind kind = prepared->program->ops[index].kind;
    if (changes_weights(kind))
        weights_changed(prepared);
    return st;
}
