#include "tools/inspect/replay.h"

#include "host/base/clock.h"
#include "host/base/file.h"
#include "host/journal/journal.h"
#include "host/report/inspect.h"
#include "host/run/engine.h"
#include "host/run/folder.h"
#include "host/run/resume.h"
#include "spec/spec.h"
#include "tools/common/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LOOK_NANOSECONDS = 100 * 1000 * 1000 }; /* between two looks at the new journal */

/* ---- the folder ---- */

static enum status copy_file(const char *from_folder, const char *to_folder, const char *name,
                             struct error *err)
{
    char *from = file_join(from_folder, name), *to = file_join(to_folder, name);
    enum status st = from != NULL && to != NULL ? file_copy(from, to, err) : error_memory(err, "path", 0);
    free(from);
    free(to);
    return st;
}

/* There may be none: the journal has the job as well. */
static enum status copy_job(const char *run_folder, const char *folder, struct error *err)
{
    static const char name[] = "job.cfg";
    char *path = file_join(run_folder, name);
    if (path == NULL)
        return error_memory(err, "path", 0);
    const bool is_there = file_exists(path);
    free(path);
    return is_there ? copy_file(run_folder, folder, name, err) : ST_OK;
}

/* There may be none. */
static enum status copy_models(const char *run_folder, const char *folder, struct error *err)
{
    char *from = file_join(run_folder, "models"), *to = file_join(folder, "models");
    enum status st = from != NULL && to != NULL ? file_make_folder(to, err) : error_memory(err, "path", 0);
    DIR *listed = st == ST_OK ? opendir(from) : NULL;
    for (struct dirent *entry; st == ST_OK && listed != NULL && (entry = readdir(listed)) != NULL;)
        if (entry->d_name[0] != '.')
            st = copy_file(from, to, entry->d_name, err);
    if (listed != NULL)
        closedir(listed);
    free(from);
    free(to);
    return st;
}

/* ---- the engine ---- */

/* Goes on with the run that is there. What is lost of it is done again. */
static enum status go_on(const char *folder, struct error *err)
{
    static struct engine_history history;
    char plots[] = "output.plots=false";
    char *overrides[] = {plots};
    const struct options options = {.resume = folder, .overrides = overrides, .override_count = 1};
    struct job job = {0};
    struct error note;
    char *same = NULL; /* the folder */
    history.started = clock_seconds();
    history.salvage = true;
    for (int k = 0; k < DEVICES_MOST; k++)
        history.training[k] = -1;
    enum status st = folder_read_job(&options, &job, &same, &note, err);
    if (st == ST_OK)
        st = engine_run(&job, same, -1, &history, err);
    spec_free(&job);
    free(same);
    return st;
}

/* In a process of its own, for it does not end with that model; what it says goes into `log`. */
static enum status start(const char *folder, const char *log, pid_t *child, struct error *err)
{
    *child = fork();
    if (*child < 0)
        return error_system(err, errno, "the engine");
    if (*child > 0)
        return ST_OK;
    const int to = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (to >= 0 && dup2(to, STDOUT_FILENO) >= 0 && dup2(to, STDERR_FILENO) >= 0 &&
        go_on(folder, err) != ST_OK)
        fprintf(stderr, "%s\n", err->message);
    fflush(NULL);
    _exit(0);
}

/* The last line that it said. */
static enum status complain(const char *log, struct error *err)
{
    char *said = NULL, *line;
    size_t length = 0;
    struct error unsaid;
    if (file_read(log, &said, &length, &unsaid) != ST_OK || length == 0) {
        free(said);
        return error_set(err, ST_DEVICE, "the engine has ended before the model was trained");
    }
    while (length > 0 && said[length - 1] == '\n')
        said[--length] = '\0';
    line = strrchr(said, '\n');
    error_set(err, ST_DEVICE, "the engine has ended before the model was trained: %.900s",
              line != NULL ? line + 1 : said);
    free(said);
    return err->status;
}

/* Until the journal has the model, or nobody writes it any more. */
static enum status wait_for(const char *folder, int32_t id, pid_t child, const char *log,
                            char hash[REPLAY_HASH_LENGTH], struct error *err)
{
    const struct timespec pause = {.tv_nsec = LOOK_NANOSECONDS};
    char *found = NULL;
    bool ended = false;
    while (found == NULL && !ended) {
        ended = waitpid(child, NULL, WNOHANG) == child; /* before the look: what it wrote last is there */
        found = inspect_hash(folder, id);
        if (found == NULL && !ended)
            nanosleep(&pause, NULL);
    }
    if (!ended) {
        kill(child, SIGKILL); /* nothing of its folder is kept */
        waitpid(child, NULL, 0);
    }
    if (found == NULL)
        return complain(log, err);
    snprintf(hash, REPLAY_HASH_LENGTH, "%s", found);
    free(found);
    return ST_OK;
}

/* They end the engine, and this program cleans up behind it. */
static void ignore_signals(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        signal(signals[i], SIG_IGN);
}

enum status replay_model(const char *run_folder, int32_t id, char hash[REPLAY_HASH_LENGTH], struct error *err)
{
    char *folder = NULL, *log = NULL;
    pid_t child = -1;
    enum status st = scratch_open("nasinspect", &folder, err);
    if (st == ST_OK)
        st = copy_file(run_folder, folder, JOURNAL_NAME, err);
    if (st == ST_OK)
        st = copy_job(run_folder, folder, err);
    if (st == ST_OK)
        st = copy_models(run_folder, folder, err);
    if (st == ST_OK)
        st = resume_forget_from(folder, id, err);
    if (st == ST_OK && (log = file_join(folder, "nasinspect.log")) == NULL)
        st = error_memory(err, "path", 0);
    if (st == ST_OK)
        st = start(folder, log, &child, err);
    if (st == ST_OK) {
        ignore_signals();
        st = wait_for(folder, id, child, log, hash, err);
    }
    scratch_close(folder);
    free(log);
    return st;
}
