/* Manual pages in man(7)'s language: one of each program, one of the job file. */
#include "host/base/version.h"
#include "tools/manual/manual.h"

#include <ctype.h>
#include <string.h>

/* Text as it is: without roff's own signs. A line that would begin with a request's sign gets a character of no
 * width. */
static void print_text(const char *text, size_t length, FILE *out)
{
    for (size_t i = 0; i < length; i++) {
        if (i == 0 && (text[i] == '.' || text[i] == '\''))
            fputs("\\&", out);
        switch (text[i]) {
        case '\\':
            fputs("\\e", out);
            break;
        case '-':
            fputs("\\-", out);
            break;
        case '\'':
            fputs("\\(aq", out);
            break;
        case '"':
            fputs("\\(dq", out);
            break;
        case '`':
            fputs("\\(ga", out);
            break;
        case '^':
            fputs("\\(ha", out);
            break;
        case '~':
            fputs("\\(ti", out);
            break;
        default:
            fputc(text[i], out);
            break;
        }
    }
}

static void print_line(const char *text, FILE *out)
{
    print_text(text, strlen(text), out);
    fputc('\n', out);
}

/* Sentences with empty lines between paragraphs. */
static void print_paragraphs(const char *text, FILE *out)
{
    while (*text != '\0') {
        size_t length = strcspn(text, "\n");
        if (length == 0)
            fputs(".PP\n", out);
        else {
            print_text(text, length, out);
            fputc('\n', out);
        }
        text += length + (text[length] == '\n');
    }
}

static void print_title(const char *name, int section, FILE *out)
{
    fputs(".TH ", out);
    for (const char *c = name; *c != '\0'; c++)
        fputc(toupper((unsigned char)*c), out);
    fprintf(out, " %d \"%s\" \"nasrun %s\"\n.SH NAME\n%s \\- ", section, NASRUN_VERSION_DATE, NASRUN_VERSION,
            name);
}

static void print_option(const struct command_option *option, FILE *out)
{
    fputs(".TP\n", out);
    if (option->letter != 0)
        fprintf(out, "\\fB\\-%c\\fR, ", option->letter);
    fputs("\\fB\\-\\-", out);
    print_text(option->name, strlen(option->name), out);
    fputs("\\fR", out);
    if (option->argument != NULL)
        fprintf(out, "=\\fI%s\\fR", option->argument);
    fputc('\n', out);
    print_line(option->meaning, out);
}

static void print_see_also(const char *self, FILE *out)
{
    const char *before = "";
    fputs(".SH SEE ALSO\n", out);
    for (int i = 0; manual_commands[i] != NULL; i++) {
        if (strcmp(manual_commands[i]->name, self) == 0)
            continue;
        fprintf(out, "%s.BR %s (1)", before, manual_commands[i]->name);
        before = ",\n";
    }
    if (strcmp(self, "nasrun.cfg") != 0)
        fprintf(out, "%s.BR nasrun.cfg (5)", before);
    fputc('\n', out);
}

void manual_man_page(const struct command *command, FILE *out)
{
    const struct command_option *option;

    print_title(command->name, 1, out);
    print_line(command->purpose, out);
    fputs(".SH SYNOPSIS\n", out);
    for (int i = 0; command->uses[i] != NULL; i++) {
        fprintf(out, "%s.B %s\n", i > 0 ? ".br\n" : "", command->name);
        print_line(command->uses[i], out);
    }
    fputs(".SH DESCRIPTION\n", out);
    print_paragraphs(command->description, out);
    fputs(".SH OPTIONS\n", out);
    for (int i = 0; (option = command_option_at(command, i)) != NULL; i++)
        print_option(option, out);
    fputs(".SH EXIT STATUS\n", out);
    for (const struct command_status *end = command->statuses; end->meaning != NULL; end++) {
        fprintf(out, ".TP\n.B %d\n", end->status);
        print_line(end->meaning, out);
    }
    fputs(".SH EXAMPLES\n", out);
    for (const struct command_example *example = command->examples; example->line != NULL; example++) {
        fputs(".TP\n.B ", out);
        print_line(example->line, out);
        print_line(example->meaning, out);
    }
    print_see_also(command->name, out);
}

static void print_key(const struct spec_key *key, FILE *out)
{
    char expected[SPEC_TEXT_MAX];

    spec_describe_all(key, expected);
    fputs(".TP\n.B ", out);
    print_line(key->name, out);
    print_line(key->meaning, out);
    fputs(".br\n", out);
    print_text(expected, strlen(expected), out);
    if (key->unit[0] != '\0')
        fprintf(out, "; unit: %s", key->unit);
    fputs(key->default_text != NULL ? "; default: " : "; required", out);
    if (key->default_text != NULL)
        print_text(key->default_text, strlen(key->default_text), out);
    fputc('\n', out);
}

void manual_man_keys(FILE *out)
{
    int before = -1;

    print_title("nasrun.cfg", 5, out);
    fputs("the job file of nasrun\n.SH DESCRIPTION\n", out);
    print_paragraphs(spec_reference_introduction, out);
    fputs(".SH KEYS\n", out);
    for (int i = 0; i < SPEC_KEY_COUNT; i++) {
        const char *name = spec_keys[i].name;
        int length = spec_section_length(name);
        if (before != length || strncmp(name, spec_keys[i - 1].name, (size_t)length) != 0) {
            if (length > 0)
                fprintf(out, ".SS %.*s\n", length - 1, name);
            else
                fputs(".SS Outside of sections\n", out);
        }
        before = length;
        print_key(&spec_keys[i], out);
    }
    fputs(".SH EXAMPLES\n.nf\n", out);
    fputs("dataset = { path = \\(dqphotos\\(dq; };\nbudget = { seconds = 600; };\n.fi\n", out);
    print_see_also("nasrun.cfg", out);
}
