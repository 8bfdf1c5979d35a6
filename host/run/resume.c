#include "host/run/resume.h"

#include "host/base/clock.h"
#include "host/base/file.h"
#include "host/base/version.h"
#include "host/journal/event_read.h"
#include "host/run/own_files.h"
#include "host/run/record.h"
#include "host/run/replay.h"
#include "host/run/store.h"
#include "host/search/budget.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A candidate may be in training when the engine is killed this often before it is given up. */
enum { MOST_KILLS = 2 };

/* ---- what is kept for the coordinator ---- */

static struct candidate *take_at(struct run *run, int32_t index)
{
    struct candidate *taken = run->past[index];
    run->past_count--;
    for (int32_t i = index; i < run->past_count; i++)
        run->past[i] = run->past[i + 1];
    return taken;
}

static int32_t index_of(const struct run *run, int32_t id)
{
    for (int32_t i = 0; i < run->past_count; i++) {
        if (run->past[i]->id == id && !run->past[i]->final)
            return i;
    }
    return -1;
}

const struct candidate *resume_find(const struct run *run, int32_t id)
{
    const int32_t index = index_of(run, id);
    return index >= 0 ? run->past[index] : NULL;
}

struct candidate *resume_take(struct run *run, int32_t id)
{
    const int32_t index = index_of(run, id);
    return index >= 0 ? take_at(run, index) : NULL;
}

static int32_t index_of_final(const struct run *run, bool baseline)
{
    for (int32_t i = 0; i < run->past_count; i++) {
        if (run->past[i]->final && run->past[i]->baseline == baseline)
            return i;
    }
    return -1;
}

struct candidate *resume_take_final(struct run *run)
{
    const int32_t index = index_of_final(run, false);
    return index >= 0 ? take_at(run, index) : NULL;
}

struct candidate *resume_take_baseline(struct run *run)
{
    const int32_t index = index_of_final(run, true);
    return index >= 0 ? take_at(run, index) : NULL;
}

bool resume_has_later(const struct run *run, int32_t id)
{
    for (int32_t i = 0; i < run->past_count; i++) {
        if (!run->past[i]->final && run->past[i]->id >= id)
            return true;
    }
    return false;
}

bool resume_has_final(const struct run *run)
{
    return index_of_final(run, false) >= 0;
}

bool resume_is_suspect(const struct run *run, int32_t id)
{
    for (int32_t i = 0; i < run->suspect_count; i++) {
        if (run->suspects[i] == id)
            return true;
    }
    return false;
}

void resume_forget(struct run *run)
{
    for (int32_t i = 0; i < run->past_count; i++)
        candidate_free(run->past[i]);
    free(run->past);
    run->past = NULL;
    run->past_count = 0;
}

/* ---- who was in training when the engine was killed ---- */

static bool was_in_training(const struct engine_history *history, int32_t id)
{
    for (int k = 0; k < DEVICES_MOST; k++) {
        if (history->training[k] == id)
            return true;
    }
    return false;
}

/* Adds this time's to the file, which has a line "ID CAUSE" for each, and counts for every candidate that has not
 * ended. */
static enum status count_kills(const struct run *run, int *kills, struct error *err)
{
    const struct engine_history *history = run->history;
    enum status st = ST_OK;
    char *path = run_path(run, "restarts.txt"), line[128];
    int fd = path != NULL
                 ? open(path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666)
                 : -1;
    FILE *stream = fd >= 0 ? fdopen(fd, "a+") : NULL;

    if (stream == NULL) {
        st = error_system(err, errno, "%s", path != NULL ? path : "restarts.txt");
        if (fd >= 0)
            close(fd);
        goto out;
    }
    for (int32_t i = 0; history->restarts > 0 && i < run->past_count; i++) {
        if (!run->past[i]->ended && was_in_training(history, run->past[i]->id))
            fprintf(stream, "%d %s\n", (int)run->past[i]->id, history->cause);
    }
    rewind(stream);
    while (fgets(line, sizeof(line), stream) != NULL) {
        char *end;
        const long id = strtol(line, &end, 10);
        if (end == line || *end != ' ') /* damaged, or the rest of a line that is */
            continue;
        for (int32_t i = 0; i < run->past_count; i++)
            kills[i] += !run->past[i]->ended && id == run->past[i]->id;
    }
out:
    if (stream != NULL && fclose(stream) != 0 && st == ST_OK)
        st = error_set(err, ST_IO, "%s: can't be written", path);
    free(path);
    return st;
}

/* ---- what becomes of those that have not ended ---- */

/* Sets candidate->restored, whether its checkpoint is good, and ->steps, where that stands. One that is not there or
 * is broken is no error: the candidate begins anew. */
static enum status find_checkpoint(const struct run *run, struct candidate *candidate, struct error *err)
{
    uint64_t note = 0;
    char *path = run_checkpoint_path(run, candidate->id);
    if (path == NULL)
        return error_memory(err, "path", 0);
    enum status st = checkpoint_note(path, &note, &candidate->steps, err);
    candidate->restored = st == ST_OK && note == (uint64_t)candidate->id;
    free(path);
    return st == ST_MEMORY ? st : ST_OK;
}

static enum status record_kills(struct run *run, const struct candidate *candidate, int kills,
                                struct error *err)
{
    struct error cause;
    error_set(&cause, ST_DEVICE, "killed the engine %d times, last by %s", kills, run->history->cause);
    return record_failed(run, candidate->id, candidate->parent, candidate->final, 0, &cause, err);
}

/* Takes the lines of what is to be done again out of the journal. */
static enum status cut_journal(struct run *run, const struct journal_lines *lines, struct error *err)
{
    struct event_reader reader = event_reader_open(run->journal.path, lines);
    const struct event *event;
    bool *keep = malloc(lines->count * sizeof(*keep));
    bool all = true;
    enum status st;
    if (keep == NULL)
        return error_memory(err, "journal lines", lines->count * sizeof(*keep));
    for (size_t i = 0; i < lines->count; i++)
        keep[i] = true;
    while ((st = event_next(&reader, &event, err)) == ST_OK && event != NULL) {
        keep[reader.count - 1] = replay_keeps(run, event);
        all = all && keep[reader.count - 1];
    }
    event_reader_close(&reader);
    if (st == ST_OK && !all)
        st = journal_keep(&run->journal, lines, keep, err);
    free(keep);
    return st;
}

/* Another version may decide otherwise from here on: the journal says so, once, where there is anything to decide. */
static enum status note_version(struct run *run, const struct replayed *found, struct error *err)
{
    const bool over = run->stage >= budget_stages(&run->job->budget);
    if (over || (found->format == EVENT_FORMAT && strcmp(found->version, NASRUN_VERSION) == 0))
        return ST_OK;
    display_say(&run->display, 0,
                "        until here by nasrun %s with journal format %d; this is nasrun %s with format %d",
                found->version, (int)found->format, NASRUN_VERSION, EVENT_FORMAT);
    return record_continued(run, err);
}

/* Before anything is added to the journal: `lines` are all of it. */
static enum status settle(struct run *run, const struct journal_lines *lines, const struct replayed *found,
                          struct error *err)
{
    int *kills = calloc((size_t)run->past_count + 1, sizeof(*kills));
    if (kills == NULL)
        return error_memory(err, "candidates", (size_t)run->past_count * sizeof(*kills));
    enum status st = count_kills(run, kills, err);
    for (int32_t i = 0; st == ST_OK && i < run->past_count; i++) {
        struct candidate *candidate = run->past[i];
        if (candidate->baseline && !run->stage_tested) {
            /* Its stage goes on with a larger budget, and it is forgotten: it was beside a smaller one. */
            candidate->ended = false;
            kills[i] = 0;
            continue;
        }
        if (candidate->ended)
            continue;
        st = find_checkpoint(run, candidate, err);
        if (kills[i] >= MOST_KILLS)
            replay_mark_failed(candidate, 0);
        else if (kills[i] > 0 && run->suspect_count < DEVICES_MOST)
            run->suspects[run->suspect_count++] = candidate->id;
    }
    if (st == ST_OK)
        st = cut_journal(run, lines, err);
    if (st == ST_OK)
        st = note_version(run, found, err);
    for (int32_t i = run->past_count - 1; st == ST_OK && i >= 0; i--) {
        struct candidate *candidate = run->past[i];
        if (kills[i] >= MOST_KILLS)
            st = record_kills(run, candidate, kills[i], err);
        else if (!candidate->ended && !candidate->restored)
            candidate_free(take_at(run, i));
    }
    free(kills);
    return st;
}

/* Checkpoints that nobody goes on from: of candidates that ended just before the engine did. */
static void remove_checkpoints(const struct run *run)
{
    DIR *folder = opendir(run->folder);
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        const int32_t id = own_checkpoint(entry->d_name);
        bool wanted = false;
        if (id < 0)
            continue;
        for (int32_t i = 0; i < run->past_count; i++)
            wanted = wanted || (run->past[i]->id == id && run->past[i]->restored && !run->past[i]->ended);
        if (!wanted)
            unlinkat(dirfd(folder), entry->d_name, 0);
    }
    if (folder != NULL)
        closedir(folder);
}

static enum status go_through(struct run *run, const struct journal_lines *lines, struct error *err)
{
    struct engine_history *history = run->history;
    struct replayed found;
    enum status st = replay_lines(run, lines, &found, err);
    if (st != ST_OK)
        return st;
    if (history->restarts == 0)
        history->base = lines->lines[lines->count - 1].time;
    run->clock_base = history->base;
    run->clock_start = history->started;
    st = settle(run, lines, &found, err);
    if (st == ST_OK && run->stage_open && run->stage < budget_stages(&run->job->budget) &&
        budget_total(&run->job->budget, run->stage) != found.stage_budget)
        st = record_stage(run, err);
    remove_checkpoints(run);
    return st;
}

enum status resume_precision(struct run *run, struct error *err)
{
    struct journal_lines lines = {0};
    const struct event *event = NULL;
    char *path = run_path(run, JOURNAL_NAME);
    enum status st = path != NULL ? journal_first(path, &lines, err) : error_memory(err, "path", 0);
    struct event_reader reader = event_reader_open(path, &lines);
    if (st == ST_OK && lines.count > 0)
        st = event_next(&reader, &event, err);
    if (st == ST_OK && event != NULL && event->kind == EVENT_RUN)
        devices_prefer(&run->devices, event->run.precision != NULL ? event->run.precision
                                                                   : job_precision_text(JOB_PRECISION_FP32));
    event_reader_close(&reader);
    journal_lines_free(&lines);
    free(path);
    return st;
}

enum status resume_run(struct run *run, struct error *err)
{
    struct journal_lines lines = {0};
    char *path = run_path(run, JOURNAL_NAME);

    enum status st = path != NULL ? ST_OK : error_memory(err, "path", 0);
    if (st == ST_OK)
        st = journal_open(path, &run->journal, err);
    if (st == ST_OK)
        st = journal_load(path, &lines, err);
    if (st == ST_OK && lines.count > 0) {
        st = go_through(run, &lines, err);
    } else if (st == ST_OK) {
        run->clock_start = run->history->started;
        st = record_run(run, err);
    }
    for (int32_t i = 0; st == ST_OK && i < run->files.count; i++)
        if (run->files.items[i].path != NULL && !run->files.items[i].recorded)
            st = record_start_file(run, i, err);
    for (int k = 0; k < DEVICES_MOST; k++)
        run->history->training[k] = -1;
    journal_lines_free(&lines);
    free(path);
    return st;
}

/* How many lines stand before the candidate's beginning; 0: there is none. */
static enum status lines_before(const char *path, const struct journal_lines *lines, int32_t id,
                                size_t *count, struct error *err)
{
    struct event_reader reader = event_reader_open(path, lines);
    const struct event *event;
    enum status st;
    *count = 0;
    while ((st = event_next(&reader, &event, err)) == ST_OK && event != NULL && *count == 0) {
        if (event->kind == EVENT_CANDIDATE && event->candidate.id == id)
            *count = reader.count - 1;
    }
    event_reader_close(&reader);
    return st;
}

enum status resume_forget_from(const char *folder, int32_t id, struct error *err)
{
    struct journal_lines lines = {0};
    size_t count = 0;
    char *path = file_join(folder, JOURNAL_NAME);
    enum status st = path != NULL ? journal_load(path, &lines, err) : error_memory(err, "path", 0);
    if (st == ST_OK)
        st = lines_before(path, &lines, id, &count, err);
    if (st == ST_OK && count == 0)
        st =
            error_set(err, ST_FORMAT, "%s: no beginning of candidate %d, whose model is lost", path, (int)id);
    if (st == ST_OK)
        st = journal_cut(path, &lines, count, err);
    journal_lines_free(&lines);
    free(path);
    return st;
}
