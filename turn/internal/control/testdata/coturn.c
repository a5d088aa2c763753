// What coturn's own library of messages (libturnclient, of Debian's coturn) makes of STUN messages, a line each:
//
//	check KIND USER REALM PASSWORD MESSAGE   → STRUCTURE FINGERPRINT INTEGRITY METHOD ERROR MAPPED RELAYED… (1: right)
//	allocate USER REALM PASSWORD NONCE 4 6   → the request that it would send, for these families (1: asked for)
//	bind USER REALM PASSWORD NONCE IP PORT   → likewise, of channel 0x4000
//
// KIND is long or short; USER, REALM, PASSWORD, NONCE and MESSAGE are in hexadecimal.

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <turn/ns_turn_msg.h>

#define MOST 2048

static size_t unhex(const char *text, uint8_t *to, size_t room)
{
	size_t n = 0;
	unsigned byte;
	for (; n + 1 < room && sscanf(text + 2 * n, "%2x", &byte) == 1; n++)
		to[n] = (uint8_t)byte;
	to[n] = 0;
	return n;
}

static void addresses(const uint8_t *message, size_t size, int kind)
{
	stun_attr_ref at;
	for (at = stun_attr_get_first_str(message, size); at; at = stun_attr_get_next_str(message, size, at)) {
		ioa_addr found;
		char text[INET6_ADDRSTRLEN] = "";
		if (stun_attr_get_type(at) != kind)
			continue;
		memset(&found, 0, sizeof found);
		if (stun_attr_get_addr_str(message, size, at, &found, NULL) < 0) {
			printf(" wrong");
			continue;
		}
		if (found.ss.sa_family == AF_INET6)
			printf(" [%s]:%d", inet_ntop(AF_INET6, &found.s6.sin6_addr, text, sizeof text), ntohs(found.s6.sin6_port));
		else
			printf(" %s:%d", inet_ntop(AF_INET, &found.s4.sin_addr, text, sizeof text), ntohs(found.s4.sin_port));
	}
}

static void check(char **word)
{
	uint8_t user[MOST], realm[MOST], password[MOST], message[MOST];
	size_t size = unhex(word[5], message, sizeof message);
	turn_credential_type kind = strcmp(word[1], "short") ? TURN_CREDENTIALS_LONG_TERM : TURN_CREDENTIALS_SHORT_TERM;
	int whole, print = 0, error = 0, integrity;

	unhex(word[2], user, sizeof user);
	unhex(word[3], realm, sizeof realm);
	unhex(word[4], password, sizeof password);
	whole = stun_is_command_message_full_check_str(message, size, 0, &print);
	stun_is_error_response_str(message, size, &error, NULL, 0);
	integrity = whole && stun_check_message_integrity_str(kind, message, size, user, realm, password, SHATYPE_SHA1) > 0;
	printf("%d %d %d %d %d", whole, whole && print, integrity, stun_get_method_str(message, size), error);
	addresses(message, size, STUN_ATTRIBUTE_XOR_MAPPED_ADDRESS);
	addresses(message, size, STUN_ATTRIBUTE_XOR_RELAYED_ADDRESS);
	printf("\n");
}

static void sign(char **word, uint8_t *message, size_t size)
{
	uint8_t user[MOST], realm[MOST], password[MOST], nonce[MOST];
	size_t i;

	unhex(word[1], user, sizeof user);
	unhex(word[2], realm, sizeof realm);
	unhex(word[3], password, sizeof password);
	unhex(word[4], nonce, sizeof nonce);
	stun_attr_add_integrity_by_user_str(message, &size, user, realm, password, nonce, SHATYPE_SHA1);
	stun_attr_add_fingerprint_str(message, &size);
	for (i = 0; i < size; i++)
		printf("%02x", message[i]);
	printf("\n");
}

static void allocate(char **word)
{
	uint8_t message[MOST];
	size_t size = 0;

	stun_set_allocate_request_str(message, &size, 700, atoi(word[5]), atoi(word[6]), STUN_ATTRIBUTE_TRANSPORT_UDP_VALUE, 0, NULL, -1);
	sign(word, message, size);
}

static void bind_channel(char **word)
{
	uint8_t message[MOST];
	size_t size = 0;
	ioa_addr peer;

	memset(&peer, 0, sizeof peer);
	if (inet_pton(AF_INET, word[5], &peer.s4.sin_addr) == 1) {
		peer.s4.sin_family = AF_INET;
		peer.s4.sin_port = htons(atoi(word[6]));
	} else if (inet_pton(AF_INET6, word[5], &peer.s6.sin6_addr) == 1) {
		peer.s6.sin6_family = AF_INET6;
		peer.s6.sin6_port = htons(atoi(word[6]));
	}
	stun_set_channel_bind_request_str(message, &size, &peer, 0x4000);
	sign(word, message, size);
}

int main(void)
{
	static char line[8 * MOST];

	while (fgets(line, sizeof line, stdin)) {
		char *word[8] = {0};
		int n = 0;
		char *w;

		for (w = strtok(line, " \n"); w && n < 8; w = strtok(NULL, " \n"))
			word[n++] = w;
		if (n == 6 && !strcmp(word[0], "check"))
			check(word);
		else if (n == 7 && !strcmp(word[0], "allocate"))
			allocate(word);
		else if (n == 7 && !strcmp(word[0], "bind"))
			bind_channel(word);
		else
			return 1;
		fflush(stdout);
	}
	return 0;
}
