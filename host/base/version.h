/* The version: of the programs, the journals, the bundle, the packages. Scripts read it from this line. */
#ifndef NASRUN_BASE_VERSION_H
#define NASRUN_BASE_VERSION_H

#define NASRUN_VERSION "0.1.0"

#endif
