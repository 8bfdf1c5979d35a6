/* Completion for zsh, by its _arguments and _describe. */
#include "tools/manual/manual.h"

/* Inside of single quotes; `signs` get a backslash. */
static void print_quoted(const char *text, const char *signs, FILE *out)
{
    for (; *text != '\0'; text++) {
        for (const char *sign = signs; *sign != '\0'; sign++)
            if (*text == *sign)
                fputc('\\', out);
        fputs(*text == '\'' ? "'\\''" : (char[]){*text, '\0'}, out);
    }
}

static const char *action(enum command_words words)
{
    switch (words) {
    case WORDS_NONE:
        return "";
    case WORDS_FILES:
        return "_files";
    case WORDS_FOLDERS:
        return "_files -/";
    case WORDS_JOBS:
        return "_nasrun_job";
    case WORDS_KEYS:
        return "_nasrun_keys";
    }
    return "";
}

static void print_option(const struct command_option *option, FILE *out)
{
    fputs("    ", out);
    if (option->letter != 0)
        fprintf(out, "'(-%c --%s)'{-%c,--%s}", option->letter, option->name, option->letter, option->name);
    else
        fprintf(out, "--%s%s", option->name, option->argument != NULL ? "=" : "");
    fputs("'[", out);
    print_quoted(option->meaning, "[]", out);
    fputc(']', out);
    if (option->argument != NULL)
        fprintf(out, ":%s:%s", option->argument, action(option->words));
    fputs("' \\\n", out);
}

/* With --resume the first word is a key already. */
static void print_job_functions(FILE *out)
{
    char words[SPEC_TEXT_MAX];

    fputs("_nasrun_job() {\n"
          "    if (( ${words[(I)--resume*]} )); then _nasrun_keys; else _files -g '*.cfg'; fi\n"
          "}\n\n"
          "_nasrun_keys() {\n"
          "    local key=${PREFIX%%=*}\n"
          "    local -a keys\n"
          "    if compset -P '*='; then\n"
          "        case $key in\n",
          out);
    for (int i = 0; i < SPEC_KEY_COUNT; i++) {
        manual_key_words(&spec_keys[i], words);
        if (words[0] != '\0')
            fprintf(out, "        %s) compadd -- %s ;;\n", spec_keys[i].name, words);
        else if (manual_key_is_file(&spec_keys[i]))
            fprintf(out, "        %s) _files ;;\n", spec_keys[i].name);
    }
    fputs("        esac\n        return\n    fi\n    keys=(\n", out);
    for (int i = 0; i < SPEC_KEY_COUNT; i++) {
        fprintf(out, "        '%s:", spec_keys[i].name);
        print_quoted(spec_keys[i].meaning, "\\", out);
        fputs("'\n", out);
    }
    fputs("    )\n    _describe -t keys key keys -S =\n}\n\n", out);
}

void manual_zsh(const struct command *command, FILE *out)
{
    const struct command_option *option;

    fprintf(out, "#compdef %s\n# Made from its table of options and the keys of a job file.\n\n",
            command->name);
    if (command->others == WORDS_KEYS)
        print_job_functions(out);
    fputs("_arguments -s -S \\\n", out);
    for (int i = 0; (option = command_option_at(command, i)) != NULL; i++)
        print_option(option, out);
    fprintf(out, "    '1: :%s'", action(command->first));
    if (command->others != WORDS_NONE)
        fprintf(out, " \\\n    '*: :%s'", action(command->others));
    fputc('\n', out);
}
