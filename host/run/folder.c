#include "host/run/folder.h"

#include "host/base/file.h"
#include "host/journal/event_read.h"
#include "host/run/own_files.h"
#include "host/run/pretrained.h"
#include "spec/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define JOB_NAME  "job.cfg"
#define LOCK_NAME "lock"

/* ---- what the journal's first line says ---- */

/* How a run began. */
struct beginning {
    struct journal_lines lines; /* none: there is no run yet */
    struct event_reader reader;
    /* its text, inside of the lines; NULL: of an older version, whose journal does not say it */
    const char *job;
};

static void beginning_free(struct beginning *beginning)
{
    event_reader_close(&beginning->reader);
    journal_lines_free(&beginning->lines);
    *beginning = (struct beginning){.reader = event_reader_open(NULL, NULL)};
}

/* ST_FORMAT for a journal that is not nasrun's. `path` outlives the beginning. */
static enum status beginning_read(const char *path, struct beginning *beginning, struct error *err)
{
    const struct event *event = NULL;
    *beginning = (struct beginning){0};
    enum status st = journal_first(path, &beginning->lines, err);
    beginning->reader = event_reader_open(path, &beginning->lines);
    if (st == ST_OK && beginning->lines.count > 0)
        st = event_next(&beginning->reader, &event, err);
    if (st == ST_OK && event != NULL)
        beginning->job = event->run.job;
    return st;
}

/* ---- the job ---- */

/* A resumed run's job.cfg has what was said later as well: larger budgets, another place of the data. It counts, unless
 * it is damaged or says another job than the one that the run began with: `note` tells, and the journal's counts. */
static enum status read_resumed(const struct options *options, struct job *job, struct error *note,
                                struct error *err)
{
    char *path = file_join(options->resume, JOB_NAME), *journal = file_join(options->resume, JOURNAL_NAME);
    struct beginning beginning = {0};
    struct job first = {0};
    struct error ignored;
    enum status st = path != NULL && journal != NULL ? beginning_read(journal, &beginning, err)
                                                     : error_memory(err, "path", 0);
    if (st != ST_OK)
        goto out;
    st = spec_read(path, options->overrides, options->override_count, job, err);
    if (st == ST_MEMORY || beginning.job == NULL ||
        spec_read_text(journal, beginning.job, strlen(beginning.job), options->overrides,
                       options->override_count, &first, &ignored) != ST_OK)
        goto out;
    if (st != ST_OK)
        *note = *err;
    else if (spec_same_run(&first, job, note) != ST_OK)
        error_prefix(note, "%s", path);
    else
        goto out;
    error_prefix(note, "the job is taken from the journal");
    spec_free(job);
    *job = first;
    first = (struct job){0};
    st = ST_OK;
out:
    spec_free(&first);
    beginning_free(&beginning);
    free(path);
    free(journal);
    return st;
}

enum status folder_read_job(const struct options *options, struct job *job, char **folder, struct error *note,
                            struct error *err)
{
    *folder = NULL;
    *note = (struct error){0};
    enum status st = options->resume != NULL
                         ? read_resumed(options, job, note, err)
                         : spec_read(options->job, options->overrides, options->override_count, job, err);
    if (st == ST_OK)
        st = pretrained_complete(job, err);
    if (st != ST_OK)
        return st;
    *folder = strdup(options->resume != NULL ? options->resume : job->output.dir);
    return *folder != NULL ? ST_OK : error_memory(err, "path", 0);
}

static enum status write_job(const char *path, const struct job *job, struct error *err)
{
    struct file_aside file;
    enum status st = file_aside_open(&file, path, err);
    if (st != ST_OK)
        return st;
    st = spec_write(job, file.stream, err);
    if (st == ST_OK)
        st = file_aside_commit(&file, err);
    file_aside_abandon(&file);
    return st;
}

/* Refuses the job of another run than the one that is there. Only older journals leave it to job.cfg what the run's job
 * is. */
static enum status check_same_run(const char *folder, const char *path, const struct beginning *beginning,
                                  const struct job *job, struct error *err)
{
    struct job before = {0};
    char *text = NULL;
    size_t length;
    enum status st = ST_OK;
    if (beginning->job != NULL)
        st = spec_read_written(beginning->reader.path, beginning->job, strlen(beginning->job), &before, err);
    else if (!file_exists(path))
        return ST_OK;
    else
        st = file_read(path, &text, &length, err);
    if (st == ST_OK && text != NULL)
        st = spec_read_written(path, text, length, &before, err);
    if (st != ST_OK)
        return error_prefix(err, "what job the run is of can't be read, use --fresh to start over");
    st = spec_same_run(&before, job, err);
    if (st != ST_OK)
        error_prefix(err, "%s holds the run of another job, which --fresh removes, or output.dir avoids",
                     folder);
    spec_free(&before);
    free(text);
    return st;
}

/* A job file that is not of a run must not be written over. */
static enum status check_job_file(const char *path, struct error *err)
{
    char *text = NULL;
    size_t length;
    const size_t mark = strlen(spec_written_mark);
    if (!file_exists(path))
        return ST_OK;
    enum status st = file_read(path, &text, &length, err);
    if (st == ST_OK && length > 0 && (length < mark || memcmp(text, spec_written_mark, mark) != 0))
        st = error_set(
            err, ST_RANGE,
            "%s: was not written by a run, whose job would take its place; choose another output.dir", path);
    free(text);
    return st;
}

/* ---- the folder ---- */

/* One lock for all that is done to the folder, from before job.cfg is written to the end of the run: whoever has the
 * descriptor, after a fork too, holds it. */
static enum status take_lock(int folder, const char *path, int *lock, struct error *err)
{
    *lock = openat(folder, LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
    if (*lock < 0)
        return error_system(err, errno, "%s/" LOCK_NAME, path);
    if (flock(*lock, LOCK_EX | LOCK_NB) == 0)
        return ST_OK;
    if (errno == EWOULDBLOCK)
        error_set(err, ST_BUSY,
                  "%s: another nasrun is working on this run; wait for its end, or choose another output.dir",
                  path);
    else
        error_system(err, errno, "%s/" LOCK_NAME ": cannot be locked", path);
    close(*lock);
    *lock = -1;
    return err->status;
}

/* Removes what an earlier run has left. If that is cut short, the run's first line is there still: it begins anew. */
static enum status start_over(int folder, const char *path, const struct beginning *beginning,
                              struct error *err)
{
    enum status st = own_check_folders(folder, path, err);
    if (st != ST_OK)
        return st;
    int fd = openat(folder, JOURNAL_NAME, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)beginning->lines.lines[0].end) != 0 || fsync(fd) != 0)
        st = error_system(err, errno, "%s/" JOURNAL_NAME, path);
    if (fd >= 0)
        close(fd);
    return st == ST_OK ? own_remove(folder, path, err) : st;
}

/* A journal that can't be gone on with is refused before data are read. */
static enum status check_journal(const char *journal, struct error *err)
{
    struct journal_lines lines;
    enum status st = journal_load(journal, &lines, err);
    if (st == ST_OK)
        journal_lines_free(&lines);
    else if (st == ST_FORMAT)
        error_prefix(
            err, "the journal is damaged, --salvage keeps the lines before this one and does the rest again");
    return st;
}

static enum status salvage(const char *journal, struct error *note, struct error *err)
{
    size_t kept, dropped;
    enum status st = journal_salvage(journal, &kept, &dropped, err);
    if (st == ST_OK && dropped > 0)
        error_set(note, ST_OK,
                  "%s: its first %zu lines are kept, what the %zu others told is done again; they are in "
                  "%s.damaged",
                  journal, kept, dropped, journal);
    return st;
}

/* A run folder, open, and what lies in it. */
struct place {
    int folder;
    const char *path, *journal, *job;
};

/* With the lock held. */
static enum status take_over(const struct place *place, const struct job *job, enum folder_start start,
                             struct error *note, struct error *err)
{
    struct beginning beginning;
    enum status st = beginning_read(place->journal, &beginning, err);
    const bool begun = beginning.lines.count > 0;
    if (st == ST_OK)
        st = own_check_folders(place->folder, place->path, err);
    if (st == ST_OK && !begun)
        st = check_job_file(place->job, err);
    if (st == ST_OK && !begun)
        st = own_check_empty(place->folder, place->path, err);
    if (st == ST_OK && begun && start == FOLDER_FRESH)
        st = start_over(place->folder, place->path, &beginning, err);
    else if (st == ST_OK && begun)
        st = check_same_run(place->path, place->job, &beginning, job, err);
    if (st == ST_OK && begun && start == FOLDER_SALVAGE)
        st = salvage(place->journal, note, err);
    if (st == ST_OK && begun && start != FOLDER_FRESH)
        st = check_journal(place->journal, err);
    if (st == ST_OK)
        st = write_job(place->job, job, err);
    beginning_free(&beginning);
    return st;
}

enum status folder_prepare(const char *path, const struct job *job, enum folder_start start, int *lock,
                           struct error *note, struct error *err)
{
    char *job_path = file_join(path, JOB_NAME), *journal = file_join(path, JOURNAL_NAME);
    struct beginning beginning = {0};
    int folder = -1;

    *lock = -1;
    *note = (struct error){0};
    enum status st =
        job_path != NULL && journal != NULL ? file_make_folder(path, err) : error_memory(err, "path", 0);
    if (st != ST_OK)
        goto out;
    folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) {
        st = error_system(err, errno, "%s", path);
        goto out;
    }
    st = beginning_read(journal, &beginning, err); /* a folder of others is left without a lock in it */
    beginning_free(&beginning);
    if (st == ST_OK)
        st = take_lock(folder, path, lock, err);
    if (st == ST_OK)
        st = take_over(&(struct place){folder, path, journal, job_path}, job, start, note, err);
out:
    if (st != ST_OK && *lock >= 0) {
        close(*lock);
        *lock = -1;
    }
    if (folder >= 0)
        close(folder);
    free(job_path);
    free(journal);
    return st;
}

void folder_show_report(const char *folder, FILE *out)
{
    struct error err;
    size_t length;
    char *text = NULL, *path = file_join(folder, "report.txt");
    if (path != NULL && file_read(path, &text, &length, &err) == ST_OK)
        fprintf(out, "\n%s\nreport: %s   plots: %s/plots/   model: %s/model.safetensors\n", text, path,
                folder, folder);
    free(text);
    free(path);
}
