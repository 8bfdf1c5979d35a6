/* Completion for bash. It needs no helpers of the package bash-completion, which only finds the file when it is
 * wanted. */
#include "tools/manual/manual.h"

static void print_words(enum command_words words, FILE *out)
{
    switch (words) {
    case WORDS_NONE:
        fputs(":\n", out);
        break;
    case WORDS_FILES:
        fputs("_nasrun_files -f\n", out);
        break;
    case WORDS_FOLDERS:
        fputs("_nasrun_files -d\n", out);
        break;
    case WORDS_JOBS:
        fputs("_nasrun_jobs\n", out);
        break;
    case WORDS_KEYS:
        fputs("_nasrun_words \"$keys\"\n", out);
        break;
    }
}

/* The lines of a case for all that has a value: options and keys. */
static void print_values(const struct command *command, FILE *out)
{
    const struct command_option *option;
    char words[SPEC_TEXT_MAX];

    for (int i = 0; (option = command_option_at(command, i)) != NULL; i++) {
        if (option->argument == NULL)
            continue;
        fprintf(out, "    --%s) ", option->name);
        print_words(option->words, out);
        fputs("        return ;;\n", out);
    }
    for (int i = 0; command->others == WORDS_KEYS && i < SPEC_KEY_COUNT; i++) {
        manual_key_words(&spec_keys[i], words);
        if (words[0] != '\0')
            fprintf(out, "    %s) _nasrun_words '%s'; return ;;\n", spec_keys[i].name, words);
        else if (manual_key_is_file(&spec_keys[i]))
            fprintf(out, "    %s) _nasrun_files -f; return ;;\n", spec_keys[i].name);
    }
    fputs("    ?*) return ;;\n", out);
}

void manual_bash(const struct command *command, FILE *out)
{
    const struct command_option *option;

    fprintf(out, "# bash completion of %s, made from its table of options and the keys of a job file.\n\n",
            command->name);
    fputs("_nasrun_words() {\n"
          "    mapfile -t COMPREPLY < <(compgen -P \"$prefix\" -W \"$1\" -- \"$value\")\n"
          "    [[ ${COMPREPLY[*]} != *= ]] || compopt -o nospace 2>/dev/null\n"
          "}\n"
          "_nasrun_files() {\n"
          "    mapfile -t COMPREPLY < <(compgen -P \"$prefix\" \"$1\" -- \"$value\")\n"
          "    compopt -o filenames 2>/dev/null\n"
          "}\n",
          out);
    if (command->first == WORDS_JOBS)
        fputs("_nasrun_jobs() {\n"
              "    mapfile -t COMPREPLY < <(compgen -d -- \"$value\"; compgen -f -X '!*.cfg' -- \"$value\")\n"
              "    compopt -o filenames 2>/dev/null\n"
              "}\n",
              out);
    fputc('\n', out);
    fprintf(out, "_%s() {\n", command->name);
    fputs("    local value=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} key='' prefix='' "
          "given=0 i\n",
          out);
    fputs("    local options='", out);
    for (int i = 0; (option = command_option_at(command, i)) != NULL; i++) {
        if (option->letter != 0)
            fprintf(out, "-%c ", option->letter);
        fprintf(out, "--%s%s ", option->name, option->argument != NULL ? "=" : "");
    }
    fputs("'\n", out);
    if (command->others == WORDS_KEYS) {
        fputs("    local keys='", out);
        for (int i = 0; i < SPEC_KEY_COUNT; i++)
            fprintf(out, "%s= ", spec_keys[i].name);
        fputs("'\n", out);
    }
    fputs("    COMPREPLY=()\n"
          "    # What stands before '=', which bash takes for a word of its own unless COMP_WORDBREAKS is "
          "another.\n"
          "    if [[ $value == '=' ]]; then\n"
          "        key=$before value=''\n"
          "    elif [[ $before == '=' ]]; then\n"
          "        key=${COMP_WORDS[COMP_CWORD - 2]}\n"
          "    elif [[ $value == ?*=* ]]; then\n"
          "        key=${value%%=*} prefix=${value%%=*}= value=${value#*=}\n",
          out);
    for (int i = 0; (option = command_option_at(command, i)) != NULL; i++)
        if (option->argument != NULL)
            fprintf(out, "    elif [[ $before == --%s ]]; then\n        key=$before\n", option->name);
    fputs("    fi\n    case $key in\n", out);
    print_values(command, out);
    fputs("    esac\n"
          "    if [[ $value == -* ]]; then\n"
          "        _nasrun_words \"$options\"\n"
          "        return\n"
          "    fi\n"
          "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
          "        [[ ${COMP_WORDS[i]} == -* || ${COMP_WORDS[i]} == '=' ]] || given=1\n"
          "    done\n"
          "    if ((given)); then\n        ",
          out);
    print_words(command->others, out);
    fputs("    else\n        ", out);
    print_words(command->first, out);
    fprintf(out, "    fi\n}\ncomplete -F _%s %s\n", command->name, command->name);
}
