"""Sends mails to alice, one connection for each, as other mail servers and clients do.

usage: mailing.py PORT FROM TO [USER PASSWORD]
       mailing.py PORT FILE

Mail number N, from FROM up to the one before TO, has the subject "mail N". With a password
it is submitted, else it comes from outside. A file is one mail as it stands there.
"""

import smtplib
import sys


def send(message, login=()):
    with smtplib.SMTP("127.0.0.1", int(port), timeout=60) as server:
        server.ehlo()
        if login:
            server.login(*login)
        server.sendmail("ada@example.net", ["alice@example.org"], message)


port, first, *rest = sys.argv[1:]
if rest:
    end, *login = rest
    for number in range(int(first), int(end)):
        send(f"From: ada@example.net\r\nSubject: mail {number}\r\n\r\nhello\r\n.\r\n", login)
else:
    with open(first, "rb") as file:
        send(file.read())
