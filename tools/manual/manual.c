/* manual DIR: writes the manual pages and the shells' completions into DIR, which is laid out as PREFIX/share is. They
 * are made from the programs' tables of options and from the schema, which stand nowhere twice. */
#include "tools/manual/manual.h"

#include "host/base/file.h"
#include "host/run/options.h"
#include "tools/common/commands.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

const struct command *const manual_commands[] = {
    &nasrun_command,     &nasexport_command, &nasinspect_command, &nasplot_command,
    &naspredict_command, &nasreport_command, &nasstudy_command,   NULL};

void manual_key_words(const struct spec_key *key, char words[SPEC_TEXT_MAX])
{
    const char *choices = key->choices != NULL ? key->choices : "";
    size_t end = 0;

    words[0] = '\0';
    if (key->type == SPEC_SWITCH)
        choices = "true|false";
    else if (key->type == SPEC_AUTO_WHOLE)
        choices = "auto";
    while (*choices != '\0') {
        size_t length = strcspn(choices, "|");
        if (choices[length - 1] != 'N' && end + length + 2 < SPEC_TEXT_MAX)
            end += (size_t)snprintf(words + end, SPEC_TEXT_MAX - end, "%s%.*s", end > 0 ? " " : "",
                                    (int)length, choices);
        choices += length + (choices[length] == '|');
    }
}

bool manual_key_is_file(const struct spec_key *key)
{
    return key->type == SPEC_PATH || key->type == SPEC_TEXT;
}

/* A file DIR/FOLDER/NAME of one program, or of none. */
static enum status write_file(const char *root, const char *folder, const char *name,
                              const struct command *command,
                              void (*print)(const struct command *command, FILE *out), struct error *err)
{
    char path[PATH_MAX];
    struct file_aside file;

    int length = snprintf(path, sizeof(path), "%s/%s", root, folder);
    if (length < 0 || (size_t)length + strlen(name) + 2 > sizeof(path))
        return error_set(err, ST_RANGE, "%s: the path is too long", root);
    enum status st = file_make_folder(path, err);
    if (st != ST_OK)
        return st;
    snprintf(path + length, sizeof(path) - (size_t)length, "/%s", name);
    st = file_aside_open(&file, path, err);
    if (st != ST_OK)
        return st;
    print(command, file.stream);
    st = file_aside_commit(&file, err);
    file_aside_abandon(&file);
    return st;
}

static void print_keys(const struct command *command, FILE *out)
{
    (void)command;
    manual_man_keys(out);
}

static enum status write_command(const char *root, const struct command *command, struct error *err)
{
    char page[NAME_MAX], zsh[NAME_MAX];

    snprintf(page, sizeof(page), "%s.1", command->name);
    snprintf(zsh, sizeof(zsh), "_%s", command->name);
    enum status st = write_file(root, "man/man1", page, command, manual_man_page, err);
    if (st == ST_OK)
        st = write_file(root, "bash-completion/completions", command->name, command, manual_bash, err);
    if (st == ST_OK)
        st = write_file(root, "zsh/site-functions", zsh, command, manual_zsh, err);
    return st;
}

int main(int count, char **arguments)
{
    struct error err;

    if (count != 2) {
        fputs("manual: expected: manual DIR\n", stderr);
        return 2;
    }
    enum status st = write_file(arguments[1], "man/man5", "nasrun.cfg.5", NULL, print_keys, &err);
    for (int i = 0; st == ST_OK && manual_commands[i] != NULL; i++)
        st = write_command(arguments[1], manual_commands[i], &err);
    if (st != ST_OK)
        fprintf(stderr, "manual: %s\n", err.message);
    return st == ST_OK ? 0 : 2;
}
