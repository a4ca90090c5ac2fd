using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Messages;
using Marmot.Mls.Tree;

namespace Marmot.Mls.Tests.Messages;

[Trait("Spec", "RFC 9420, 6 and 12")]
public class MessageVectorTests
{
    private delegate IWireValue ReadValue(ref TlsReader reader);

    [Fact]
    public void Every_wire_structure_decodes_and_encodes_to_the_same_bytes()
    {
        foreach (var item in VectorFile.Load("messages"))
        {
            foreach (var name in (string[])[
                "mls_welcome", "mls_group_info", "mls_key_package", "public_message_application", "public_message_proposal", "public_message_commit",
                "private_message"
            ])
            {
                Assert.True(MlsMessage.TryRead(item.Bytes(name), out var message, out var error), $"{name}: {error}");
                Assert.Equal(item.Bytes(name), message!.ToBytes());
            }
            Assert.Equal(item.Bytes("ratchet_tree"), TlsWriter.Encode(RatchetTree.Read(CipherSuite.Get(1), item.Bytes("ratchet_tree"))));
            Same(item.Bytes("group_secrets"), (ref TlsReader r) => GroupSecrets.Read(ref r));
            Same(item.Bytes("commit"), (ref TlsReader r) => Commit.Read(ref r));
            ushort type = 1;
            foreach (var name in (string[])["add", "update", "remove", "pre_shared_key", "re_init", "external_init", "group_context_extensions"])
            {
                Same([0, (byte)type++, .. item.Bytes(name + "_proposal")], (ref TlsReader r) => Proposal.Read(ref r));
            }
        }
    }

    private static void Same(byte[] bytes, ReadValue read)
    {
        var reader = new TlsReader(bytes);
        var value = read(ref reader);
        reader.ExpectEnd();
        Assert.Equal(bytes, TlsWriter.Encode(value));
    }

    [Fact]
    public void A_message_cut_anywhere_is_refused()
    {
        var item = VectorFile.Load("messages")[0];
        foreach (var name in (string[])["mls_welcome", "mls_group_info", "mls_key_package", "public_message_commit", "private_message"])
        {
            var bytes = item.Bytes(name);
            for (var length = 0; length < bytes.Length; length++) Assert.False(MlsMessage.TryRead(bytes.AsSpan(0, length), out _, out _));
            Assert.False(MlsMessage.TryRead([.. bytes, 0], out _, out _));
        }
    }

    [Fact]
    public void Random_changes_never_do_worse_than_a_refusal()
    {
        var random = new Random(7);
        var items = VectorFile.Load("messages").Take(20).ToArray();
        foreach (var item in items)
        {
            foreach (var name in (string[])["mls_welcome", "mls_group_info", "mls_key_package", "public_message_commit", "private_message"])
            {
                for (var round = 0; round < 100; round++)
                {
                    var bytes = item.Bytes(name);
                    for (var change = random.Next(1, 4); change > 0; change--) bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
                    if (MlsMessage.TryRead(bytes, out var message, out _)) Assert.Equal(bytes, message!.ToBytes());
                }
            }
        }
    }

    [Fact]
    public void Unknown_proposals_extensions_and_credentials_are_carried_untouched()
    {
        Same([0x7a, 0x7a, 3, 1, 2, 3], (ref TlsReader r) => Proposal.Read(ref r));
        Same([0x0a, 0x0a, 2, 9, 9], (ref TlsReader r) => Extension.Read(ref r));
        Same([0x6a, 0x6a, 1, 5], (ref TlsReader r) => Credential.Read(ref r));
    }

    [Fact]
    public void A_self_remove_is_its_type_and_nothing_else()
        => Assert.Equal([0, 0x0a], TlsWriter.Encode(new SelfRemoveProposal()));
}
