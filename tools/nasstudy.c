/* nasstudy JOB: independent trainings of one job, for each budget and seed one, by the nasrun beside it; then the table
 * and the plot of all of them. The same command goes on where it was stopped. */
#include "host/base/file.h"
#include "host/base/streams.h"
#include "host/report/report.h"
#include "spec/spec.h"
#include "tools/common/arguments.h"
#include "tools/common/commands.h"
#include "tools/common/pictures.h"
#include "tools/common/study.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What nasrun stops by; a study passes it on. */
static const int stopping[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU};

struct study {
    const char *job;
    char *const *overrides; /* KEY=VALUE, for every run */
    int override_count;
    const char *unit; /* a key of the group budget */
    struct study_list budgets, seeds;
    char *folder, *program; /* of the study; nasrun */
    char **runs;            /* [run_count] folders of those that are done */
    int32_t run_count, failed;
};

/* ---- one run ---- */

static void block_signals(sigset_t *before)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(stopping) / sizeof(*stopping); i++)
        sigaddset(&set, stopping[i]);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, before);
}

/* Waits for nasrun's end and passes signals on; its exit status, or as shells have it of one that a signal ended. */
static int wait_for(pid_t child)
{
    sigset_t set;
    int status, received;
    block_signals(&set);
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(stopping) / sizeof(*stopping); i++)
        sigaddset(&set, stopping[i]);
    sigaddset(&set, SIGCHLD);
    while (waitpid(child, &status, WNOHANG) == 0)
        if (sigwait(&set, &received) == 0 && received != SIGCHLD)
            kill(child, received);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* nasrun JOB KEY=VALUE ... with what is the run's own behind; NULL when out of memory. */
static char **make_arguments(struct study *study, char *budget, char *seed, char *folder)
{
    char **arguments = calloc((size_t)study->override_count + 6, sizeof(*arguments));
    int count = 0;
    if (arguments == NULL)
        return NULL;
    arguments[count++] = study->program;
    arguments[count++] = (char *)study->job;
    for (int i = 0; i < study->override_count; i++)
        arguments[count++] = study->overrides[i];
    arguments[count++] = budget;
    arguments[count++] = seed;
    arguments[count++] = folder;
    return arguments;
}

/* Trains in `folder`, a part of an override; *status is nasrun's. */
static enum status train(struct study *study, double amount, double number, char *folder, int *status,
                         struct error *err)
{
    char budget[64], seed[64];
    sigset_t before;
    snprintf(budget, sizeof(budget), "budget.%s=%.17g", study->unit, amount);
    snprintf(seed, sizeof(seed), "seed=%.17g", number);
    char **arguments = make_arguments(study, budget, seed, folder);
    if (arguments == NULL)
        return error_memory(err, "a command line", 0);
    printf("nasstudy: %s %s in %s\n", budget, seed, strchr(folder, '=') + 1);
    fflush(stdout);
    block_signals(&before);
    const pid_t child = fork();
    if (child == 0) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        execv(study->program, arguments);
        fprintf(stderr, "nasstudy: %s: cannot be started\n", study->program);
        _exit(COMMAND_ERROR);
    }
    free(arguments);
    if (child < 0)
        return error_set(err, ST_MEMORY, "%s: cannot be started", study->program);
    *status = wait_for(child);
    return ST_OK;
}

/* ---- all of them ---- */

/* "output.dir=FOLDER/3600-1"; malloc'd, NULL when out of memory. */
static char *run_folder(const struct study *study, double amount, double number)
{
    const size_t room = strlen(study->folder) + 96;
    char *folder = malloc(room);
    if (folder != NULL)
        snprintf(folder, room, "output.dir=%s/%.10g-%.10g", study->folder, amount, number);
    return folder;
}

/* *status: what the study ends with when it does not go on. */
static enum status train_all(struct study *study, int *status, struct error *err)
{
    enum status st = ST_OK;
    for (int32_t b = 0; st == ST_OK && *status == COMMAND_DONE && b < study->budgets.count; b++)
        for (int32_t s = 0; st == ST_OK && *status == COMMAND_DONE && s < study->seeds.count; s++) {
            int ended = COMMAND_ERROR;
            char *folder = run_folder(study, study->budgets.values[b], study->seeds.values[s]);
            if (folder == NULL)
                return error_memory(err, study->folder, strlen(study->folder));
            st = train(study, study->budgets.values[b], study->seeds.values[s], folder, &ended, err);
            memmove(folder, strchr(folder, '=') + 1, strlen(strchr(folder, '=')));
            if (st == ST_OK && ended == COMMAND_DONE)
                study->runs[study->run_count++] = folder;
            else
                free(folder);
            if (st != ST_OK || ended == COMMAND_DONE)
                continue;
            if (ended == COMMAND_ERROR && study->run_count > 0) /* it has said why; the others may do */
                study->failed++;
            else
                *status = ended == COMMAND_UNFINISHED ? COMMAND_UNFINISHED : COMMAND_ERROR;
        }
    return st;
}

static enum status write_report(const struct study *study, struct error *err)
{
    struct file_aside file;
    char *path = file_join(study->folder, "report.txt");
    enum status st = path != NULL ? file_aside_open(&file, path, err) : error_memory(err, study->folder, 0);
    free(path);
    if (st != ST_OK)
        return st;
    st = report_print_several(study->runs, study->run_count, file.stream, err);
    if (st == ST_OK)
        return file_aside_commit(&file, err);
    file_aside_abandon(&file);
    return st;
}

static enum status report(const struct study *study, struct error *err)
{
    struct plot_request picture = {.folder = study->folder},
                        numbers = {.folder = study->folder, .format = PLOT_CSV};
    enum status st = write_report(study, err);
    if (st == ST_OK)
        st = report_plot_several(study->runs, study->run_count, &picture, err);
    if (st == ST_OK)
        st = report_plot_several(study->runs, study->run_count, &numbers, err);
    if (st == ST_OK)
        st = report_print_several(study->runs, study->run_count, stdout, err);
    if (st == ST_OK)
        st = streams_flush_output(err);
    if (st == ST_OK)
        pictures_tell_missing("nasstudy", picture.missing);
    return st;
}

/* ---- the command line ---- */

static enum status take_option(void *context, const struct command_line *line, struct error *err)
{
    struct study *study = context;
    switch (line->option) {
    case STUDY_OPTION_BUDGETS:
        return study_read_budgets(line->value, &study->budgets, err);
    case STUDY_OPTION_SEEDS:
        return study_read_seeds(line->value, &study->seeds, err);
    default:
        if (line->value[0] == '\0')
            return error_set(err, ST_RANGE, "--out: found nothing, expected a folder");
        free(study->folder);
        study->folder = strdup(line->value);
        return study->folder != NULL ? ST_OK : error_memory(err, "a folder's name", strlen(line->value));
    }
}

/* What the study itself sets is no word of the command line. The budget's unit is the job's. */
static enum status read_job(struct study *study, struct error *err)
{
    static const char *const own[] = {
        "seed=", "budget.seconds=", "budget.steps=", "budget.models=", "output.dir="};
    struct job job = {0};
    for (int i = 0; i < study->override_count; i++)
        for (size_t k = 0; k < sizeof(own) / sizeof(*own); k++)
            if (strncmp(study->overrides[i], own[k], strlen(own[k])) == 0)
                return error_set(err, ST_RANGE, "%s is the study's: expected --budgets, --seeds and --out",
                                 study->overrides[i]);
    enum status st = spec_read(study->job, study->overrides, study->override_count, &job, err);
    study->unit = job.budget.steps.count > 0 ? "steps" : job.budget.models.count > 0 ? "models" : "seconds";
    spec_free(&job);
    return st;
}

/* runs/NAME-study for NAME.cfg, where --out did not say it. */
static enum status choose_folder(struct study *study, struct error *err)
{
    size_t length;
    const char *name = file_stem(study->job, &length);
    if (study->folder != NULL)
        return ST_OK;
    const size_t room = length + 16;
    study->folder = malloc(room);
    if (study->folder == NULL)
        return error_memory(err, "a folder's name", room);
    snprintf(study->folder, room, "runs/%.*s-study", (int)length, name);
    return ST_OK;
}

static enum status prepare(struct study *study, const struct command_line *line, struct error *err)
{
    study->job = line->words[0];
    study->overrides = line->words + 1;
    study->override_count = line->word_count - 1;
    if (study->budgets.count == 0)
        return error_set(err, ST_RANGE, "expected --budgets=LIST, as in --budgets=900,3600");
    if (study->seeds.count == 0)
        study->seeds = (struct study_list){.values = {1}, .count = 1};
    enum status st = read_job(study, err);
    if (st == ST_OK)
        st = choose_folder(study, err);
    if (st != ST_OK)
        return st;
    study->program = file_beside_program("nasrun");
    study->runs = calloc((size_t)study->budgets.count * (size_t)study->seeds.count, sizeof(*study->runs));
    if (study->program == NULL || study->runs == NULL)
        return error_memory(err, "a study", 0);
    return file_exists(study->program)
               ? file_make_folder(study->folder, err)
               : error_set(err, ST_IO, "%s: not there, expected the nasrun that belongs to nasstudy",
                           study->program);
}

static void release(struct study *study)
{
    for (int32_t i = 0; i < study->run_count; i++)
        free(study->runs[i]);
    free(study->runs);
    free(study->folder);
    free(study->program);
}

int main(int argc, char **argv)
{
    struct study study = {0};
    struct command_line line;
    struct error err;
    int status;

    if (!arguments_read(&nasstudy_command, argc, argv, take_option, &study, &line, &status)) {
        release(&study);
        return status;
    }
    enum status st = prepare(&study, &line, &err);
    if (st == ST_OK)
        st = train_all(&study, &status, &err);
    if (st == ST_OK && status == COMMAND_DONE)
        st = report(&study, &err);
    if (st != ST_OK) {
        fprintf(stderr, "nasstudy: %s\n", err.message);
        status = COMMAND_ERROR;
    } else if (status == COMMAND_DONE && study.failed > 0) {
        status = COMMAND_SOME_FAILED;
    }
    release(&study);
    return status;
}
