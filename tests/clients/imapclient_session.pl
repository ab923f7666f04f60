# A session of Perl's Mail::IMAPClient with the server under test: imapclient_session.pl PORT USER PASSWORD.
#
# Ends with status 0 and prints "ok" when every answer was right.

use strict;
use warnings;

use Mail::IMAPClient;

my ($port, $user, $password) = @ARGV;

my $letter = join "\r\n",
    'From: Ann <ann@example.net>', 'To: bob@example.com', 'Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=',
    'Date: Thu, 2 Jan 2020 12:00:00 +0000', 'Message-ID: <letter@example.net>', 'MIME-Version: 1.0',
    'Content-Type: multipart/mixed; boundary="b"', '', '--b', 'Content-Type: text/plain', '', 'Oil', '--b',
    'Content-Type: text/html; charset=utf-8', '', '<p>Water</p>', '--b--', '';

my $mail;

# The value, or the end of everything with what the server said.
sub good {
    my ($what, $value) = @_;
    defined $value or die "$what: ", $mail->LastError // 'undefined', "\n";
    return $value;
}

sub is {
    my ($what, $found, $wanted) = @_;
    $found = join ' ', @$found if ref $found;
    $found eq $wanted or die "$what: \"$found\" instead of \"$wanted\"\n";
    return;
}

my %connection = (Server => '127.0.0.1', Port => $port, Timeout => 30);
my $refused = Mail::IMAPClient->new(%connection, User => $user, Password => 'wrong');
die "a wrong password was accepted\n" if $refused && $refused->IsAuthenticated;

$mail = Mail::IMAPClient->new(%connection, User => $user, Password => $password, Uid => 1, Peek => 1)
    or die "login: $@\n";
good('capability', $mail->has_capability('UIDPLUS'));
is('separator', good('separator', $mail->separator), '.');

good('create', $mail->create('INBOX.Entw&APw-rfe &- mehr'));
good('subscribe', $mail->subscribe('INBOX.Entw&APw-rfe &- mehr'));
is('folders', [sort @{good('folders', scalar $mail->folders)}], 'INBOX INBOX.Entw&APw-rfe &- mehr');
is('subscribed', good('subscribed', scalar $mail->subscribed), 'INBOX.Entw&APw-rfe &- mehr');

# In one piece, in pieces with flags and date, and from a file.
is('append_string', good('append_string', $mail->append_string('INBOX', $letter)), 1);
my $dated = $mail->append_string('INBOX', $letter, '\Seen \Flagged', '02-Jan-2020 03:04:05 +0000');
is('append_string with flags', good('append_string with flags', $dated), 2);
open my $file, '+>', undef or die "temporary file: $!\n";
print {$file} $letter or die "temporary file: $!\n";
seek $file, 0, 0 or die "temporary file: $!\n";
is('append_file', good('append_file', $mail->append_file('INBOX', $file, undef, undef, 1)), 3);

good('select', $mail->select('INBOX'));
is('message_count', good('message_count', $mail->message_count), 3);
is('unseen_count', good('unseen_count', $mail->unseen_count), 2);
is('messages', good('messages', scalar $mail->messages), '1 2 3');
is('uidnext', good('uidnext', $mail->uidnext('INBOX')), 4);
is('search header', good('search', scalar $mail->search('HEADER', 'Message-ID', $mail->Quote('letter'))), '1 2 3');
is('seen', good('seen', scalar $mail->seen), '2');
is('since', good('since', scalar $mail->before('03-Jan-2020')), '2');

is('message_string', good('message_string', $mail->message_string(2)), $letter);
is('size', good('size', $mail->size(2)), length $letter);
is('internaldate', good('internaldate', $mail->internaldate(2)), '02-Jan-2020 03:04:05 +0000');
is('flags', [sort grep { $_ ne '\Recent' } @{good('flags', scalar $mail->flags(2))}], '\Flagged \Seen');
is('get_header', good('get_header', $mail->get_header(1, 'Message-Id')), '<letter@example.net>');
is('bodypart', good('bodypart', $mail->bodypart_string(1, 2)), '<p>Water</p>');
my $structure = good('bodystructure', $mail->get_bodystructure(1));
is('bodystructure', [map { lc } $structure->bodytype, $structure->bodysubtype], 'multipart mixed');
is('parts', [$structure->parts], '1 2');
my $envelope = good('envelope', $mail->get_envelope(1));
is('envelope', $envelope->messageid, '<letter@example.net>');
my $fetched = good('fetch_hash', scalar $mail->fetch_hash('UID', 'RFC822.SIZE', 'FLAGS'));
is('fetch_hash', [map { $fetched->{$_}{'RFC822.SIZE'} } 1 .. 3], join ' ', (length $letter) x 3);

good('see', $mail->see(1));
good('set_flag', $mail->set_flag('$Label', 1));
good('unset_flag', $mail->unset_flag('Flagged', 2));
is('flags', [sort grep { $_ ne '\Recent' } @{good('flags', scalar $mail->flags(1))}], '$Label \Seen');
is('flagged', good('flagged', scalar $mail->search('FLAGGED')), '');

is('copy', good('copy', $mail->copy('INBOX.Entw&APw-rfe &- mehr', 1, 2)), '1,2');
good('move', $mail->move('INBOX.Entw&APw-rfe &- mehr', 3));
good('delete_message', $mail->delete_message(2));
good('expunge', $mail->expunge);
is('messages', good('messages', scalar $mail->messages), '1');

my $idle = good('idle', $mail->idle);
good('done', $mail->done($idle));

good('rename', $mail->rename('INBOX.Entw&APw-rfe &- mehr', 'INBOX.Play'));
is('message_count', good('message_count', $mail->message_count('INBOX.Play')), 3);
good('close', $mail->close);
good('delete', $mail->delete('INBOX.Play'));
is('folders', good('folders', scalar $mail->folders), 'INBOX');
good('logout', $mail->logout);
print "ok\n";
