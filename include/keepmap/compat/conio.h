/*
 * conio.h - single keys, from a terminal or from whatever standard input is.
 *
 * At a terminal a key comes as it is pressed, and is not shown. _getch switches the terminal for
 * the length of its call; between two calls it reads lines, as fgets and scanf want it. The first
 * call of _kbhit switches it for good: what is typed between two looks is not shown, not edited and
 * not lost. Lines can be read then too, but what is typed for them is not shown either, and
 * Backspace and Ctrl-D are characters. The terminal is put right when the program ends by exit or
 * by returning from main, also while another thread waits in _getch; not by a signal or _exit (a
 * shell does it then, or "stty sane").
 *
 * Ctrl-C, Ctrl-\ and Ctrl-Z do what they always do. While _getch waits for a key the terminal is
 * put right before; at other times, in a program that has called _kbhit, it is not. No signal
 * handler is installed. A forked child's end leaves its parent's terminal alone.
 *
 * Elsewhere the keys are standard input's characters, in step with stdio. Enter is '\r' in either
 * (and so is Ctrl-J). An arrow key is the sequence of characters that the terminal sends for it.
 * _kbhit never waits, not even for another thread in _getch.
 */
#if defined(_WIN32)
#pragma GCC system_header /* #include_next is an extension */
#include_next <conio.h>
#else
#ifndef KEEPMAP_COMPAT_CONIO_H
#define KEEPMAP_COMPAT_CONIO_H

#include "../win32.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Waits for a key. EOF (-1) when there are no more. */
KMW_EXPORT int _getch(void) KMW_AS(_getch);
/* The same, and shows it on standard output. */
KMW_EXPORT int _getche(void) KMW_AS(_getche);
/* Not 0: _getch would not wait (the end of the input included). */
KMW_EXPORT int _kbhit(void) KMW_AS(_kbhit);
/* The next key will be this one. EOF if there is such a one already, or if it is EOF. */
KMW_EXPORT int _ungetch(int key) KMW_AS(_ungetch);
/* To standard output at once. The character, or EOF. */
KMW_EXPORT int _putch(int character) KMW_AS(_putch);
/* The same with text; 0 if it went out. */
KMW_EXPORT int _cputs(const char *text) KMW_AS(_cputs);

/* The old names are the same functions, and no macros, so that <curses.h> may declare its own
 * afterwards (its macros are what a program gets then). Where it came first, its names stay. */
#if !defined(NO_OLDNAMES) && !defined(getch) && !defined(__NCURSES_H)
KMW_EXPORT int getch(void) KMW_AS(_getch);
KMW_EXPORT int ungetch(int key) KMW_AS(_ungetch);
#endif
#if !defined(NO_OLDNAMES)
KMW_EXPORT int getche(void) KMW_AS(_getche);
KMW_EXPORT int kbhit(void) KMW_AS(_kbhit);
KMW_EXPORT int putch(int character) KMW_AS(_putch);
KMW_EXPORT int cputs(const char *text) KMW_AS(_cputs);
#endif

#ifdef __cplusplus
}
#endif

#endif /* KEEPMAP_COMPAT_CONIO_H */
#endif
