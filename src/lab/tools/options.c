/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tools.h"

static bool long_option(const char *word, struct option_found *found)
{
	const char *equals = strchr(word, '=');

	found->name = word + 2;
	found->name_size = equals != NULL ? (size_t)(equals - word) - 2 : strlen(word) - 2;
	found->value = equals != NULL ? equals + 1 : NULL;
	return true;
}

static bool short_option(struct options *o, struct option_found *found)
{
	found->letter = *o->cluster++;
	if (strchr(o->valued, found->letter) != NULL) {
		found->value = *o->cluster != '\0' ? o->cluster : NULL;
		o->cluster = NULL;
	} else if (*o->cluster == '\0') {
		o->cluster = NULL;
	}
	return true;
}

bool next_option(struct options *o, struct option_found *found)
{
	const char *word;

	memset(found, 0, sizeof(*found));
	if (o->cluster != NULL)
		return short_option(o, found);
	if (o->at >= o->argc)
		return false;
	word = o->argv[o->at];
	if (strcmp(word, "--") == 0) {
		o->at++;
		return false;
	}
	if (word[0] != '-' || word[1] == '\0')
		return false;
	o->at++;
	if (word[1] == '-')
		return long_option(word, found);
	o->cluster = word + 1;
	return short_option(o, found);
}

const char *option_value(struct options *o, const struct option_found *found)
{
	if (found->value != NULL)
		return found->value;
	if (o->at < o->argc)
		return o->argv[o->at++];
	fprintf(stderr, "%s: an option lacks its value\n", o->argv[0]);
	exit(2);
}

bool is_long(const struct option_found *found, const char *name)
{
	return found->letter == 0 && strlen(name) == found->name_size && strncmp(found->name, name, found->name_size) == 0;
}
