"""A session of Python's imaplib or poplib over TLS: tls_session.py PORT USER PASSWORD AUTHORITY [NAME=VALUE ...].

Names: protocol=imap|pop3, starttls=1, max=1.2, ciphers=STRING, certificate=FILE, external=1, alpn=NAME. Ends with
status 0 and prints "ok" when it is logged in and has logged out.
"""

import imaplib
import poplib
import ssl
import sys

port, user, password, authority = int(sys.argv[1]), *sys.argv[2:5]
wish = dict(argument.split("=", 1) for argument in sys.argv[5:])

context = ssl.create_default_context(cafile=authority)
if wish.get("max") == "1.2":
    context.maximum_version = ssl.TLSVersion.TLSv1_2
if "ciphers" in wish:
    context.set_ciphers(wish["ciphers"])
if "certificate" in wish:
    context.load_cert_chain(wish["certificate"])
if "alpn" in wish:
    context.set_alpn_protocols([wish["alpn"]])

starttls = "starttls" in wish
if wish.get("protocol") == "pop3":
    if starttls:
        session = poplib.POP3("localhost", port, timeout=30)
        assert "STLS" in session.capa()
        session.stls(context)
        assert "STLS" not in session.capa()
    else:
        session = poplib.POP3_SSL("localhost", port, context=context, timeout=30)
    session.user(user)
    session.pass_(password)
else:
    if starttls:
        session = imaplib.IMAP4("localhost", port, timeout=30)
        assert "STARTTLS" in session.capabilities
        assert session.starttls(context)[0] == "OK"
    else:
        session = imaplib.IMAP4_SSL("localhost", port, ssl_context=context, timeout=30)
    assert "STARTTLS" not in session.capabilities
    assert "LOGINDISABLED" not in session.capabilities
    if "external" in wish:
        assert "AUTH=EXTERNAL" in session.capabilities, session.capabilities
        session.authenticate("EXTERNAL", lambda challenge: b"")
    else:
        session.login(user, password)
    assert session.select()[0] == "OK"
if "alpn" in wish:
    assert session.sock.selected_alpn_protocol() == wish["alpn"], "no protocol was agreed on"
if wish.get("protocol") == "pop3":
    session.quit()
else:
    session.logout()
print("ok")
