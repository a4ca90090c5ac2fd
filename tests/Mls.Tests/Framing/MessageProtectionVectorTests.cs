using System.Text.Json;
using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Framing;
using Marmot.Mls.Messages;
using Marmot.Mls.Schedule;

namespace Marmot.Mls.Tests.Framing;

[Trait("Spec", "RFC 9420, 6")]
public class MessageProtectionVectorTests
{
    [Fact]
    public void Messages_of_the_vectors_open_and_own_ones_open_again()
    {
        foreach (var (item, suite) in VectorFile.Suites("message-protection", skipped: 2))
        {
            var run = new Run(item, suite);
            Assert.Equal(item.Bytes("proposal"), Body(run.OpenPublic(item.Bytes("proposal_pub"))));
            Assert.Equal(item.Bytes("commit"), Body(run.OpenPublic(item.Bytes("commit_pub"))));
            Assert.Equal(item.Bytes("proposal"), Body(run.OpenPrivate(item.Bytes("proposal_priv"))));
            Assert.Equal(item.Bytes("commit"), Body(run.OpenPrivate(item.Bytes("commit_priv"))));
            Assert.Equal(item.Bytes("application"), run.OpenPrivate(item.Bytes("application_priv")).Content.Application);

            foreach (var type in (ContentType[])[ContentType.Proposal, ContentType.Commit, ContentType.Application])
            {
                var content = run.Author(type, WireFormat.PrivateMessage);
                var bytes = new MlsMessage(WireFormat.PrivateMessage,
                    MessageProtection.ProtectPrivate(content, suite, run.NewTree(), run.SenderData, padTo: 64)).ToBytes();
                Assert.Equal(Body(content), Body(run.OpenPrivate(bytes)));
                content = run.Author(type, WireFormat.PublicMessage);
                if (type == ContentType.Application)
                {
                    Assert.Equal(MlsError.WrongWireFormat,
                        Assert.Throws<MlsException>(() => MessageProtection.ProtectPublic(content, suite, run.Context, run.MembershipKey)).Error);
                    var forged = new PublicMessage(content, content.MembershipTag(suite, run.Context, run.MembershipKey));
                    Assert.Equal(MlsError.WrongWireFormat, MessageProtection.UnprotectPublic(forged, suite, run.Context, run.MembershipKey));
                    continue;
                }
                bytes = new MlsMessage(WireFormat.PublicMessage, MessageProtection.ProtectPublic(content, suite, run.Context, run.MembershipKey)).ToBytes();
                Assert.Equal(Body(content), Body(run.OpenPublic(bytes)));
                bytes[^1] ^= 1;
                Assert.Equal(MlsError.BadMembershipTag, Assert.Throws<MlsException>(() => run.OpenPublic(bytes)).Error);
            }
        }
    }

    private static byte[] Body(AuthenticatedContent content)
    {
        var writer = new TlsWriter();
        content.Content.WriteBody(writer);
        return writer.ToArray();
    }

    private sealed class Run(JsonElement item, CipherSuite suite)
    {
        public byte[] SenderData { get; } = item.Bytes("sender_data_secret");
        public byte[] MembershipKey { get; } = item.Bytes("membership_key");
        public byte[] Context { get; } = new GroupContext
        {
            Suite = suite,
            GroupId = item.Bytes("group_id"),
            Epoch = item.GetProperty("epoch").GetUInt64(),
            TreeHash = item.Bytes("tree_hash"),
            ConfirmedTranscriptHash = item.Bytes("confirmed_transcript_hash"),
            Extensions = [],
        }.Encoded;

        public SecretTree NewTree() => new(suite, 2, item.Secret("encryption_secret"));

        public AuthenticatedContent OpenPublic(byte[] bytes)
        {
            var message = MlsMessage.Read(bytes).Public!;
            var error = MessageProtection.UnprotectPublic(message, suite, Context, MembershipKey);
            MlsException.ThrowIf(error != MlsError.None, error);
            var content = message.Content;
            Assert.True(content.HasValidSignature(suite, Context, item.Bytes("signature_pub")));
            return content;
        }

        public AuthenticatedContent OpenPrivate(byte[] bytes)
        {
            var message = MlsMessage.Read(bytes).Private!;
            Assert.True(MessageProtection.TryOpenSenderData(message, suite, SenderData, out var sender));
            Assert.Equal(1u, sender.Leaf);
            Assert.Equal(MlsError.None, MessageProtection.UnprotectPrivate(message, sender, suite, NewTree(), out var content));
            Assert.True(content!.HasValidSignature(suite, Context, item.Bytes("signature_pub")));
            return content;
        }

        public AuthenticatedContent Author(ContentType type, WireFormat format)
        {
            var reader = new TlsReader(type == ContentType.Commit ? item.Bytes("commit") : item.Bytes("proposal"));
            var framed = new FramedContent
            {
                GroupId = item.Bytes("group_id"),
                Epoch = item.GetProperty("epoch").GetUInt64(),
                Sender = Sender.Member(1),
                AuthenticatedData = [1, 2],
                ContentType = type,
                Application = item.Bytes("application"),
                Proposal = type == ContentType.Proposal ? Proposal.Read(ref reader) : null,
                Commit = type == ContentType.Commit ? Commit.Read(ref reader) : null,
            };
            return new AuthenticatedContent
            {
                WireFormat = format,
                Content = framed,
                Signature = AuthenticatedContent.Sign(suite, format, framed, Context, suite.Signature.Prepare(item.Bytes("signature_priv"))),
                ConfirmationTag = type == ContentType.Commit ? new byte[suite.HashLength] : null,
            };
        }
    }
}
