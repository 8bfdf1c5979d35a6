/* The step: its parameters, its operations, and the graph they are recorded in. */
#include "cuda/device/cuda_ops.h"
#include "cuda/trace.h"

#include <math.h>
#include <stdio.h>

static op_function *const functions[PROG_OP_KIND_COUNT] = {
#define PROG_OP(KIND, name, ...) [PROG_OP_##KIND] = cuda_run_##name,
#include "host/program/ops.def"
#undef PROG_OP
};

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
                          .average_decay = step->average_decay,
                          .look_ahead = step->look_ahead,
                          .drop_path = step->drop_path,
                          .view = step->view};
    double t = (double)step->number + 1;
    if (optimizer->kind == OPTIMIZER_ADAMW) {
        p.first_scale = (float)(1.0 / (1.0 - pow((double)optimizer->momentum, t)));
        p.second_scale = (float)(1.0 / (1.0 - pow((double)optimizer->second, t)));
    }
    return p;
}

static enum status send_step(const struct device_program *prepared, const struct step *step,
                             struct error *err)
{
    const struct device *device = prepared->device;
    const struct cuda_step p = parameters(step, &prepared->binding.optimizer);
    return cuda_check(cuda_launch_step(device->stream, &p, device->step), "send a step's parameters", err);
}

/* ---- operations ---- */

/* The branch is done with what it was given before, and may read all that is there. */
static enum status hand_over(struct device *device, struct error *err)
{
    enum status st = cuda_branch_join(device, err);
    return st == ST_OK ? cuda_branch_fork(device, err) : st;
}

/* whole: as part of a whole step, where batch norms do their convolutions' work (cuda_fold.c), and the optimizer that
 * of the weight average. */
static enum status run_one(struct device_program *prepared, int32_t index, bool whole, struct error *err)
{
    const struct op_call call = cuda_call(prepared, index, err);
    const struct prog_op *op = call.op;
    const struct cuda_op *state = &prepared->ops[index];
    if (whole && state->folded_away)
        return ST_OK;
    op_function *run = whole && state->folded_conv >= 0         ? cuda_run_folded
                       : whole && op->kind == PROG_OP_OPTIMIZER ? cuda_run_update
                                                                : functions[op->kind];
    enum status st = cuda_is_branched(op->kind) ? hand_over(prepared->device, err) : ST_OK;
    if (st == ST_OK)
        st = run(&call);
    if (st != ST_OK)
        return error_prefix(err, "%s, operation %d of layer %u", prog_op_name(op->kind), (int)index,
                            (unsigned)op->layer_id);
    return ST_OK;
}

/* What becomes of a step's collectives. AWAITED: each before anything else is queued. The driver loads a kernel when it
 * is launched for the first time, and may wait for all of the device then; a collective that is under way there waits
 * for another member, whose launches may wait for the driver. So in a group's first step nothing is loaded while a
 * collective runs. */
enum collectives { QUEUED, AWAITED, LEFT_OUT };

/* Not every library says at once that a call of its own is none that can be recorded. */
static enum status check_recording(const struct device_program *prepared, int32_t index, struct error *err)
{
    const struct prog_op *op = &prepared->program->ops[index];
    enum cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    enum status st =
        cuda_check(cudaStreamIsCapturing(prepared->device->stream, &status), "tell whether it records", err);
    if (st == ST_OK && status == cudaStreamCaptureStatusInvalidated)
        st = error_set(err, ST_DEVICE, "%s, operation %d of layer %u: it can't be recorded",
                       prog_op_name(op->kind), (int)index, (unsigned)op->layer_id);
    return st;
}

/* Queues all operations, or records them. What takes gradients waits for the branch and for a group's all-reduces. */
static enum status run_all(struct device_program *prepared, enum collectives collectives, bool recording,
                           struct error *err)
{
    const struct program *program = prepared->program;
    enum status st = ST_OK;
    for (int32_t op = 0; st == ST_OK && op < program->op_count; op++) {
        const enum prog_op_kind kind = program->ops[op].kind;
        if (kind == PROG_OP_ALL_REDUCE && collectives == LEFT_OUT)
            continue;
        if (cuda_takes_gradients(kind))
            st = cuda_branch_join(prepared->device, err);
        if (st == ST_OK && cuda_takes_gradients(kind))
            st = cuda_group_join(prepared, err);
        if (st == ST_OK)
            st = run_one(prepared, op, true, err);
        if (st == ST_OK && kind == PROG_OP_ALL_REDUCE && collectives == AWAITED)
            st = cuda_group_settle(prepared, err);
        if (st == ST_OK && recording)
            st = check_recording(prepared, op, err);
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
    prepared->report.recorded = 0;
}

void cuda_graph_forget(struct device_program *prepared)
{
    drop_graph(prepared);
    prepared->steps_queued = 0;
}

/* Records the operations; nothing runs. When that fails the stream is as before, and what is wrong with the step itself
 * is found again when it is queued. *pieces: how many there are. */
static enum status record(struct device_program *prepared, enum collectives collectives,
                          cudaGraphExec_t *graph, int32_t *pieces, struct error *err)
{
    struct device *device = prepared->device;
    struct error later;
    cudaGraph_t recorded = NULL;
    size_t count = 0;
    *graph = NULL;
    enum status st = cuda_check(cudaStreamBeginCapture(device->stream, cudaStreamCaptureModeThreadLocal),
                                "begin a recording", err);
    if (st != ST_OK)
        return st;
    st = run_all(prepared, collectives, true, err);
    enum status ended = cuda_check(cudaStreamEndCapture(device->stream, &recorded), "end a recording",
                                   st == ST_OK ? err : &later);
    st = st == ST_OK ? ended : st;
    if (st == ST_OK)
        st = cuda_check(cudaGraphGetNodes(recorded, NULL, &count), "count what was recorded", err);
    if (st == ST_OK)
        st = cuda_check(cudaGraphInstantiate(graph, recorded, 0), "make a recording ready", err);
    if (recorded != NULL)
        (void)cudaGraphDestroy(recorded);
    if (st != ST_OK)
        (void)cudaGetLastError();
    device->branch.forked = false; /* where the recording broke off */
    *pieces = (int32_t)count;
    return st;
}

static void note_failure(struct device_report *report, const char *reason)
{
    report->failures++;
    snprintf(report->reason, sizeof(report->reason), "%s", reason);
}

/* Whether all members of the group could record a step without collectives: NCCL is not asked to record with some of
 * them only. refusal: why not; "" when it was another member. */
static enum status rehearse(struct device_program *prepared, bool *able, struct error *refusal,
                            struct error *err)
{
    cudaGraphExec_t rehearsal = NULL;
    int32_t pieces;
    *able = true;
    if (prepared->binding.group == NULL)
        return ST_OK;
    *able = record(prepared, LEFT_OUT, &rehearsal, &pieces, refusal) == ST_OK;
    if (rehearsal != NULL)
        (void)cudaGraphExecDestroy(rehearsal);
    return cuda_group_agree(prepared, "rehearse a recording", able, err);
}

/* Fills `graph`, or notes in the report why there is none. */
static enum status make_graph(struct device_program *prepared, struct error *err)
{
    struct error refusal = {.message = ""};
    bool able;
    trace_begin("recording");
    enum status st = rehearse(prepared, &able, &refusal, err);
    if (st == ST_OK && able) {
        st = cuda_group_enter(prepared, err);
        if (st != ST_OK)
            goto out;
        able = record(prepared, QUEUED, &prepared->graph, &prepared->report.recorded, &refusal) == ST_OK;
        cuda_group_leave(prepared);
        st = cuda_group_agree(prepared, "record a step", &able, err);
    }
    if (st != ST_OK || !able)
        drop_graph(prepared);
    if (st == ST_OK && !able)
        note_failure(&prepared->report, refusal.message[0] != '\0'
                                            ? refusal.message
                                            : "another member of the group can't record it");
out:
    trace_end();
    return st;
}

void cuda_program_report(const struct device_program *prepared, struct device_report *report)
{
    *report = prepared->report;
}

/* Whether the next step is queued as all that follow it will be: nothing is loaded and nothing recorded any more. */
static bool is_settled(const struct device_program *prepared)
{
    return prepared->graph != NULL || (prepared->report.failures > 0 && prepared->steps_queued > 1);
}

static enum status queue_step(struct device *device, struct device_program *prepared, const struct step *step,
                              struct error *err)
{
    enum status st = cuda_enter(device, err);
    if (st == ST_OK)
        st = cuda_pace_begin_step(prepared, is_settled(prepared), err);
    if (st == ST_OK)
        st = send_step(prepared, step, err);
    if (st == ST_OK)
        st = cuda_copies_refresh(prepared, true, err);
    if (st == ST_OK && prepared->graph == NULL && prepared->steps_queued > 0 &&
        prepared->report.failures == 0)
        st = make_graph(prepared, err);
    if (st == ST_OK)
        st = cuda_group_enter(prepared, err);
    if (st != ST_OK)
        return st;
    if (prepared->graph != NULL) {
        st = cuda_check(cudaGraphLaunch(prepared->graph, device->stream), "launch a step", err);
    } else {
        st = run_all(prepared, prepared->steps_queued == 0 ? AWAITED : QUEUED, false, err);
        prepared->steps_queued++;
    }
    cuda_group_leave(prepared);
    if (prepared->program->purpose == PROG_TRAIN)
        weights_changed(prepared);
    return st == ST_OK ? cuda_pace_end_step(prepared, err) : st;
}

enum status cuda_program_run(struct device *device, struct device_program *prepared, const struct step *step,
                             struct error *err)
{
    trace_begin(prepared->program->purpose == PROG_TRAIN ? "training step" : "evaluation step");
    enum status st = queue_step(device, prepared, step, err);
    trace_end();
    return st;
}

enum status cuda_program_run_op(struct device *device, struct device_program *prepared, int32_t index,
                                const struct step *step, struct error *err)
{
    enum status st = cuda_enter(device, err);
    if (st != ST_OK)
        return st;
    cuda_pace_forget(prepared);
    st = send_step(prepared, step, err);
    if (st == ST_OK)
        st = cuda_copies_refresh(prepared, false, err);
    if (st == ST_OK)
        st = run_one(prepared, index, false, err);
    if (st != ST_OK)
        return st;
    enum prog_op_kind kind = prepared->program->ops[index].kind;
    st = cuda_branch_join(device, err);
    if (changes_weights(kind))
        weights_changed(prepared);
    return st;
}
