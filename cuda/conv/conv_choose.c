/* Which of cuDNN's many ways to do a convolution.
 *
 * cuDNN's heuristics name candidates, best first by their own model: mode A (by a model of the device), then
 * B (more of them), then the fallback. The first mode with a usable candidate decides. Its first rank is not
 * always sane, therefore: what gives up precision or determinism is left out, tensor cores go before other
 * units, kernels that come with the library before those that must be compiled; within these classes the
 * order is cuDNN's. On a device that is there, a candidate must also run and be recorded, and of the first few the fastest is
 * taken. Whatever goes wrong with one candidate, from its description on, is a refusal and the next one's chance; only a device
 * that fails ends the choice. */
#include "cuda/conv/conv_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CANDIDATES = 128, MAX_NOTES = 32 };

struct candidate {
    cudnnBackendDescriptor_t config;
    int64_t engine;
    bool tensor_core, deterministic, compiled, imprecise;
    bool depthwise; /* the convolution, the same for all candidates of a choice */
    int32_t rank;
    size_t workspace; /* as the heuristics say; the plan's may differ */
};

struct candidates {
    int32_t count;
    struct candidate list[MAX_CANDIDATES];
};

/* A choice under way: what is usable so far, and why the last thing was not. */
struct choosing {
    const struct conv_planner *planner;
    const struct conv_plan_info *info;
    struct conv_graph graph;
    struct conv_trial trial;
    bool on_device; /* trial is open */
    size_t limit;
    int32_t seen, tried; /* candidates that were named; that were finished plans within the limit */
    struct error refusal;
};

/* Reads what cuDNN says of a candidate's engine. Notes later than those this program knows are of no concern; a workspace that
 * is not told is told by the plan.
 */
static enum status describe(struct candidate *candidate, struct error *err)
{
    cudnnBackendDescriptor_t engine = NULL;
    cudnnBackendNumericalNote_t numerical[MAX_NOTES];
    cudnnBackendBehaviorNote_t behaviour[MAX_NOTES];
    int64_t count = 0, numerical_count = 0, behaviour_count = 0, workspace = 0;
    const char *what = "describe an engine";

    enum status st =
        conv_check(cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine), what, err);
    if (st == ST_OK)
        st = conv_check(cudnnBackendGetAttribute(candidate->config, CUDNN_ATTR_ENGINECFG_ENGINE,
                                                 CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine),
                        what, err);
    if (st == ST_OK)
        st = conv_check(cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1,
                                                 &count, &candidate->engine),
                        what, err);
    if (st == ST_OK)
        st = conv_check(cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                                 CUDNN_TYPE_NUMERICAL_NOTE, MAX_NOTES, &numerical_count,
                                                 numerical),
                        what, err);
    if (st == ST_OK)
        st = conv_check(cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE,
                                                 CUDNN_TYPE_BEHAVIOR_NOTE, MAX_NOTES, &behaviour_count,
                                                 behaviour),
                        what, err);
    if (st == ST_OK &&
        cudnnBackendGetAttribute(candidate->config, CUDNN_ATTR_ENGINECFG_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1,
                                 &count, &workspace) != CUDNN_STATUS_SUCCESS)
        workspace = 0;
    candidate->workspace = workspace > 0 ? (size_t)workspace : 0;
    candidate->deterministic = true;
    for (int64_t i = 0; st == ST_OK && i < numerical_count; i++) {
        cudnnBackendNumericalNote_t note = numerical[i];
        candidate->tensor_core |= note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
        candidate->deterministic &= note != CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
        candidate->imprecise |= note == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION ||
                                note == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS ||
                                note == CUDNN_NUMERICAL_NOTE_FFT || note == CUDNN_NUMERICAL_NOTE_WINOGRAD;
    }
    for (int64_t i = 0; st == ST_OK && i < behaviour_count; i++)
        candidate->compiled |= behaviour[i] == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION;
    conv_discard(engine);
    return st;
}

/* TF32 is what a tensor core makes of float32. With it allowed, the looser algorithms may serve as well. Of fused kernels
 * those that must be compiled take longer for that than all that their pass saves, and in a 16 bit type those without tensor
 * cores compute longer: the parts one by one are the better way. */
static bool is_allowed(const struct conv_options *options, enum conv_kind kind,
                       const struct candidate *candidate)
{
    if (conv_is_fused(kind) && (candidate->compiled || (options->type != CUDA_FLOAT &&
                                                        !candidate->tensor_core && !candidate->depthwise)))
        return false;
    if (options->deterministic && !candidate->deterministic)
        return false;
    if (options->type == CUDA_FLOAT)
        return options->tensor_float || (!candidate->tensor_core && !candidate->imprecise);
    return !candidate->imprecise;
}

/* A depthwise convolution has nothing to multiply for a tensor core: there cuDNN's order stands. */
static int class_of(const struct candidate *candidate)
{
    if (candidate->depthwise)
        return 0;
    return (candidate->tensor_core ? 0 : 2) + (candidate->compiled ? 1 : 0);
}

static int by_class(const void *a, const void *b)
{
    const struct candidate *left = a, *right = b;
    int difference = class_of(left) - class_of(right);
    return difference != 0 ? difference : left->rank - right->rank;
}

static int by_workspace(const void *a, const void *b)
{
    const struct candidate *left = a, *right = b;
    if (left->workspace != right->workspace)
        return left->workspace < right->workspace ? -1 : 1;
    return left->rank - right->rank;
}

static void free_candidates(struct candidates *candidates)
{
    while (candidates->count > 0)
        conv_discard(candidates->list[--candidates->count].config);
}

/* cuDNN's heuristics of mode B are not made for several threads at once, whatever their handles. */
static cudnnStatus_t finalize_heuristics(cudnnBackendDescriptor_t heuristics, cudnnBackendHeurMode_t mode)
{
    static pthread_mutex_t mode_b = PTHREAD_MUTEX_INITIALIZER;
    if (mode != CUDNN_HEUR_MODE_B)
        return cudnnBackendFinalize(heuristics);
    pthread_mutex_lock(&mode_b);
    const cudnnStatus_t status = cudnnBackendFinalize(heuristics);
    pthread_mutex_unlock(&mode_b);
    return status;
}

/* Asks the heuristics; `results` must hold that many empty configurations and receives the filled ones. */
static enum status query(const struct choosing *choosing, cudnnBackendHeurMode_t mode, int64_t *count,
                         cudnnBackendDescriptor_t *results, struct error *err)
{
    cudnnBackendDescriptor_t heuristics = NULL;
    const char *what = "ask the heuristics";
    enum status st =
        conv_check(cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &heuristics), what, err);
    if (st == ST_OK)
        st = conv_check(cudnnBackendSetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH,
                                                 CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &choosing->graph.graph),
                        what, err);
    if (st == ST_OK)
        st = conv_check(
            cudnnBackendSetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode),
            what, err);
    if (st == ST_OK && choosing->planner->handle == NULL)
        st =
            conv_check(cudnnBackendSetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP,
                                                CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &choosing->planner->device),
                       what, err);
    if (st == ST_OK)
        st = conv_check(finalize_heuristics(heuristics, mode), what, err);
    int64_t found = 0;
    if (st == ST_OK)
        st = conv_check(cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                                 CUDNN_TYPE_BACKEND_DESCRIPTOR, *count, &found, results),
                        what, err);
    /* No candidate is no error to cuDNN. Where there are more than asked for, it may tell their full number.
     */
    *count = st != ST_OK ? 0 : found < *count ? found : *count;
    conv_discard(heuristics);
    return st;
}

/* The allowed candidates of a mode, in the order in which to try them. */
static enum status list_candidates(struct choosing *choosing, cudnnBackendHeurMode_t mode,
                                   struct candidates *candidates, struct error *err)
{
    cudnnBackendDescriptor_t results[MAX_CANDIDATES] = {NULL};
    int64_t count = MAX_CANDIDATES;
    enum status st = ST_OK;
    candidates->count = 0;
    for (int32_t i = 0; st == ST_OK && i < MAX_CANDIDATES; i++)
        st = conv_check(cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &results[i]),
                        "make room for a candidate", err);
    if (st == ST_OK && query(choosing, mode, &count, results, &choosing->refusal) != ST_OK)
        count = 0; /* unsupported: another mode may know more */
    for (int32_t i = 0; st == ST_OK && i < count; i++) {
        struct candidate candidate = {
            .config = results[i], .rank = choosing->seen++, .depthwise = choosing->info->geometry.depth == 1};
        if (describe(&candidate, &choosing->refusal) == ST_OK &&
            is_allowed(&choosing->planner->options, choosing->info->kind, &candidate)) {
            candidates->list[candidates->count++] = candidate;
            results[i] = NULL;
        }
    }
    for (int32_t i = 0; i < MAX_CANDIDATES; i++)
        conv_discard(results[i]);
    if (st != ST_OK)
        free_candidates(candidates);
    qsort(candidates->list, (size_t)candidates->count, sizeof *candidates->list,
          choosing->limit == SIZE_MAX ? by_workspace : by_class);
    return st;
}

/* Makes the candidate's plan. A refusal is remembered, not an error: *plan stays without plan then. */
static void finish_plan(struct choosing *choosing, const struct candidate *candidate, struct conv_plan *plan)
{
    const struct conv_planner *planner = choosing->planner;
    struct error *err = &choosing->refusal;
    const char *what = "finish a plan";
    cudnnBackendDescriptor_t made = NULL;
    int64_t count, workspace = 0;
    enum status st =
        conv_check(cudnnBackendCreateDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &made), what, err);
    if (st == ST_OK && planner->handle != NULL)
        st = conv_check(cudnnBackendSetAttribute(made, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1,
                                                 &planner->handle),
                        what, err);
    if (st == ST_OK && planner->handle == NULL)
        st = conv_check(cudnnBackendSetAttribute(made, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP,
                                                 CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &planner->device),
                        what, err);
    if (st == ST_OK)
        st = conv_check(cudnnBackendSetAttribute(made, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG,
                                                 CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &candidate->config),
                        what, err);
    if (st == ST_OK)
        st = conv_check(cudnnBackendFinalize(made), what, err);
    if (st == ST_OK)
        st = conv_check(cudnnBackendGetAttribute(made, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                                 CUDNN_TYPE_INT64, 1, &count, &workspace),
                        what, err);
    if (st != ST_OK) {
        conv_discard(made);
        return;
    }
    plan->plan = made;
    plan->workspace = workspace > 0 ? (size_t)workspace : 0;
    plan->info.engine = candidate->engine;
    plan->info.tensor_core = candidate->tensor_core;
    plan->info.deterministic = candidate->deterministic;
    plan->info.compiled = candidate->compiled;
    plan->info.cached = false;
    plan->info.rank = candidate->rank;
    plan->info.seconds = 0;
}

/* Makes the plan of one candidate and lets it run where there is a device. *usable says whether it may be taken; if
 * not, entrant->plan.plan is NULL again. */
static enum status try_candidate(struct choosing *choosing, const struct candidate *candidate, bool timed,
                                 struct conv_entrant *entrant, bool *usable, struct error *err)
{
    enum status st = ST_OK;
    *entrant = (struct conv_entrant){.plan = {.info = *choosing->info}};
    finish_plan(choosing, candidate, &entrant->plan);
    *usable = entrant->plan.plan != NULL && entrant->plan.workspace <= choosing->limit;
    choosing->tried += *usable;
    if (*usable && choosing->on_device) {
        st = conv_trial_run(&choosing->trial, entrant, timed, usable, &choosing->refusal, err);
        if (st == ST_MEMORY) { /* no room for its workspace now: another may need less */
            choosing->refusal = *err;
            st = ST_OK;
        }
    }
    if (st != ST_OK || !*usable) {
        conv_discard(entrant->plan.plan);
        entrant->plan.plan = NULL;
    }
    return st;
}

/* How many candidates are to be timed; 1: the first that runs is taken. What is fused is for evaluations, a small part of the
 * work, where the heuristics' first is good enough. */
static int32_t count_timed(const struct choosing *choosing)
{
    const int32_t timed = choosing->planner->options.timed;
    if (!choosing->on_device || choosing->limit == SIZE_MAX || conv_is_fused(choosing->info->kind) ||
        timed < 2)
        return 1;
    return timed < CONV_MOST_TIMED ? timed : CONV_MOST_TIMED;
}

/* Tries the candidates in order until enough have run. `best` becomes the fastest, of equals the first. */
static enum status try_candidates(struct choosing *choosing, const struct candidates *candidates,
                                  struct conv_plan *best, struct error *err)
{
    const int32_t wanted = count_timed(choosing);
    struct conv_contest contest = {0};
    enum status st = ST_OK;
    for (int32_t i = 0, count = 0; st == ST_OK && i < candidates->count && count < wanted; i++) {
        struct conv_entrant entrant;
        bool usable = false;
        if (candidates->list[i].workspace <= choosing->limit)
            st = try_candidate(choosing, &candidates->list[i], wanted > 1, &entrant, &usable, err);
        if (st != ST_OK || !usable)
            continue;
        count++;
        if (wanted == 1)
            *best = entrant.plan;
        else
            st = conv_contest_enter(&contest, &choosing->trial, &entrant, err);
    }
    if (st == ST_OK)
        st = conv_contest_end(&contest, &choosing->trial, best, err);
    conv_contest_free(&contest);
    return st;
}

static enum status refuse(const struct choosing *choosing, struct error *err)
{
    const struct conv_geometry *g = &choosing->info->geometry;
    char reason[420] = "";
    if (choosing->refusal.message[0] != '\0')
        snprintf(reason, sizeof reason, "; the last refusal: %.380s", choosing->refusal.message);
    return error_set(
        err, choosing->tried > 0 && !conv_is_fused(choosing->info->kind) ? ST_DEVICE : ST_UNSUPPORTED,
        "%s of %d x %d x %d x %d (NHWC) by %d kernels of %d x %d x %d, stride %d, padding %d x %d, %s: of %d "
        "candidates of cuDNN %zu %d could be planned, none could be used%s",
        conv_kind_name(choosing->info->kind), g->n, g->h, g->w, g->c, g->rows, g->kernel_h, g->kernel_w,
        g->depth, g->stride, g->pad_h, g->pad_w, cuda_type_name(choosing->info->type), choosing->seen,
        cudnnGetVersion(), choosing->tried, reason);
}

enum status conv_choose(const struct conv_planner *planner, struct conv_plan *plan, struct error *err)
{
    static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_B,
                                                   CUDNN_HEUR_MODE_FALLBACK};
    const size_t limits[] = {planner->options.workspace_limit, SIZE_MAX},
                 limit_count =
                     conv_is_fused(plan->info.kind) ? 1 : 2; /* there is another way: no need to exceed it */
    struct choosing choosing = {.planner = planner, .info = &plan->info};
    struct candidates candidates;
    struct conv_plan best = {.info = plan->info};

    enum status st = conv_graph_new(planner, &plan->info, &choosing.graph, err);
    if (st == ST_OK && planner->handle != NULL) {
        st = conv_trial_open(planner, &plan->info, &choosing.trial, err);
        choosing.on_device = st == ST_OK;
        if (st == ST_MEMORY)
            st = ST_OK;
    }
    for (size_t l = 0; st == ST_OK && best.plan == NULL && l < limit_count; l++) {
        choosing.limit = limits[l];
        choosing.seen = 0;
        for (size_t m = 0; st == ST_OK && best.plan == NULL && m < sizeof modes / sizeof *modes; m++) {
            st = list_candidates(&choosing, modes[m], &candidates, err);
            if (st == ST_OK)
                st = try_candidates(&choosing, &candidates, &best, err);
            free_candidates(&candidates);
        }
    }
    if (st == ST_OK && best.plan == NULL)
        st = refuse(&choosing, err);
    if (st == ST_OK)
        *plan = best;
    else
        conv_discard(best.plan);
    if (choosing.on_device)
        conv_trial_close(&choosing.trial);
    conv_graph_free(&choosing.graph);
    return st;
}
