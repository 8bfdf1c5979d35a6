#include "host/run/folder.h"

#include "host/base/file.h"
#include "host/journal/journal.h"
#include "spec/spec.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum status folder_read_job(const struct options *options, struct job *job, char **folder, struct error *err)
{
    char *resumed = NULL;
    const char *path = options->job;
    enum status st = ST_OK;

    *folder = NULL;
    if (options->resume != NULL) {
        path = resumed = file_join(options->resume, "job.cfg");
        if (path == NULL)
            st = error_memory(err, "path", 0);
    }
    if (st == ST_OK)
        st = spec_read(path, options->overrides, options->override_count, job, err);
    if (st == ST_OK) {
        *folder = strdup(options->resume != NULL ? options->resume : job->output.dir);
        if (*folder == NULL)
            st = error_memory(err, "path", 0);
    }
    free(resumed);
    return st;
}

/* Removes the files of a folder whose names begin so. A folder that is not there has none. */
static void remove_files(const char *folder, const char *beginning)
{
    DIR *list = opendir(folder);
    for (struct dirent *entry; list != NULL && (entry = readdir(list)) != NULL;) {
        if (entry->d_name[0] != '.' && strncmp(entry->d_name, beginning, strlen(beginning)) == 0)
            unlinkat(dirfd(list), entry->d_name, 0);
    }
    if (list != NULL)
        closedir(list);
}

/* Removes the files that a run writes, and nothing else. */
static enum status remove_run(const char *folder, struct error *err)
{
    static const char *const names[] = {"job.cfg",    "restarts.txt", "model.safetensors",
                                        "report.txt", "report.json",  "journal.jsonl"};
    static const char *const inner[] = {"models", "plots"};
    enum status st = ST_OK;

    remove_files(folder, "checkpoint-");
    for (size_t i = 0; st == ST_OK && i < sizeof(inner) / sizeof(inner[0]); i++) {
        char *path = file_join(folder, inner[i]);
        if (path != NULL)
            remove_files(path, "");
        else
            st = error_memory(err, "path", 0);
        free(path);
    }
    for (size_t i = 0; st == ST_OK && i < sizeof(names) / sizeof(names[0]); i++) {
        char *path = file_join(folder, names[i]);
        if (path == NULL)
            st = error_memory(err, "path", 0);
        else if (unlink(path) != 0 && errno != ENOENT)
            st = error_system(err, errno, "%s", path);
        free(path);
    }
    return st;
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

static enum status check_same_run(const char *path, const struct job *job, struct error *err)
{
    struct job before = {0};
    enum status st = spec_read(path, NULL, 0, &before, err);
    if (st == ST_OK) {
        st = spec_same_run(&before, job, err);
        if (st != ST_OK)
            error_prefix(err, "%s holds the run of another job, which --fresh removes, or output.dir avoids",
                         path);
    }
    spec_free(&before);
    return st;
}

enum status folder_prepare(const char *folder, const struct job *job, bool fresh, struct error *err)
{
    struct journal journal = {.fd = -1};
    char *job_path = file_join(folder, "job.cfg"), *journal_path = file_join(folder, "journal.jsonl");

    enum status st = job_path != NULL && journal_path != NULL ? file_make_folder(folder, err)
                                                              : error_memory(err, "path", 0);
    if (st != ST_OK)
        goto out;
    if (file_exists(journal_path)) {
        if (fresh) {
            st = journal_open(journal_path, &journal, err);
            if (st == ST_FORMAT) /* a broken journal is no reason against starting over */
                st = ST_OK;
            if (st == ST_OK)
                st = remove_run(folder, err);
        } else {
            /* The lock first: a folder in use is in use whatever job is asked for. */
            st = journal_open(journal_path, &journal, err);
            if (st == ST_OK && file_exists(job_path))
                st = check_same_run(job_path, job, err);
        }
        journal_close(&journal);
    }
    if (st == ST_OK)
        st = write_job(job_path, job, err);
out:
    free(job_path);
    free(journal_path);
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
