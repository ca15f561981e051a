"""Sends mails to alice, one connection for each, as other mail servers and clients do.

usage: mailing.py PORT FROM TO [USER PASSWORD]

Mail number N, from FROM up to the one before TO, has the subject "mail N". With a password
it is submitted, else it comes from outside.
"""

import smtplib
import sys

port, first, end, *login = sys.argv[1:]
for number in range(int(first), int(end)):
    with smtplib.SMTP("127.0.0.1", int(port), timeout=60) as server:
        server.ehlo()
        if login:
            server.login(*login)
        message = f"From: ada@example.net\r\nSubject: mail {number}\r\n\r\nhello\r\n.\r\n"
        server.sendmail("ada@example.net", ["alice@example.org"], message)
