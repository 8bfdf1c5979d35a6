/* The fastest of several candidates, found in few runs though others use the device too.
 *
 * Who shares the device slows down a stretch of time. A candidate is given up at once when it is far slower than the best one,
 * but a single look never decides that: it needs a look before and one after a look at the other, and a stretch that covers both
 * covers what lies between them. Those that remain are looked at in turn, ROUNDS times more, and each one's best look counts: a
 * stretch that decides would have to cover one candidate's turn all along. */
#include "cuda/conv/conv_internal.h"

#include <math.h>

enum { ROUNDS = 3 };

static const double FAR = 1.5;

/* The best look counts. */
static enum status look(const struct conv_trial *trial, struct conv_entrant *entrant, struct error *err)
{
    struct conv_plan_info *info = &entrant->plan.info;
    enum status st = conv_trial_look(trial, entrant, err);
    if (st == ST_OK && (info->seconds == 0 || entrant->seconds < info->seconds))
        info->seconds = entrant->seconds;
    return st;
}

static void drop(struct conv_contest *contest, int32_t place)
{
    struct conv_entrant *dropped = &contest->list[place];
    conv_entrant_forget(dropped);
    conv_discard(dropped->plan.plan);
    contest->count--;
    for (int32_t i = place; i < contest->count; i++)
        contest->list[i] = contest->list[i + 1];
}

static int32_t fastest_of(const struct conv_contest *contest)
{
    int32_t fastest = 0;
    for (int32_t i = 1; i < contest->count; i++)
        if (contest->list[i].plan.info.seconds < contest->list[fastest].plan.info.seconds)
            fastest = i;
    return fastest;
}

/* The youngest against the best so far: whichever is far slower is given up. */
static enum status compare(struct conv_contest *contest, const struct conv_trial *trial, struct error *err)
{
    const int32_t best = contest->best, youngest = contest->count - 1;
    struct conv_entrant *a = &contest->list[best], *b = &contest->list[youngest];
    const double before = a->seconds, first = b->seconds;
    if (before <= FAR * first && first <= FAR * before)
        return ST_OK;
    enum status st = look(trial, a, err);
    if (st == ST_OK && before > FAR * first && a->seconds > FAR * first) {
        drop(contest, best);
    } else if (st == ST_OK && first > FAR * a->seconds) {
        st = look(trial, b, err);
        if (st == ST_OK && b->seconds > FAR * a->seconds)
            drop(contest, youngest);
    }
    return st;
}

enum status conv_contest_enter(struct conv_contest *contest, const struct conv_trial *trial,
                               const struct conv_entrant *entrant, struct error *err)
{
    const bool alone = contest->count == 0;
    contest->list[contest->count] = *entrant;
    contest->count++;
    enum status st = look(trial, &contest->list[contest->count - 1], err);
    if (st == ST_OK && !alone)
        st = compare(contest, trial, err);
    contest->best = fastest_of(contest);
    return st;
}

enum status conv_contest_end(struct conv_contest *contest, const struct conv_trial *trial,
                             struct conv_plan *winner, struct error *err)
{
    enum status st = ST_OK;
    for (int32_t i = 0; st == ST_OK && contest->count > 1 && i < ROUNDS * contest->count; i++)
        st = look(trial, &contest->list[i % contest->count], err);
    if (st == ST_OK && contest->count > 0) {
        struct conv_entrant *fastest = &contest->list[fastest_of(contest)];
        *winner = fastest->plan;
        if (isinf(winner->info.seconds))
            winner->info.seconds = 0;
        fastest->plan.plan = NULL;
    }
    return st;
}

void conv_contest_free(struct conv_contest *contest)
{
    while (contest->count > 0)
        drop(contest, contest->count - 1);
}
