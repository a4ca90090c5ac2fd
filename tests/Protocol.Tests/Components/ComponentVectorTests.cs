using System.Text.Json;
using Marmot.Protocol.Components;
using Marmot.Protocol.Events;
using Marmot.Protocol.Groups;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Tests.Encryption;

namespace Marmot.Protocol.Tests.Components;

/// <summary>Component bodies good and bad: read, written back to the same bytes, refused at every cut.</summary>
[Trait("Spec", "adopted profile, components")]
public class ComponentVectorTests
{
    private static readonly JsonElement File = VectorFile.Read("adopted/adopted-components.json");

    /// <summary>Reads by number and writes again; null when refused.</summary>
    internal static byte[]? Roundtrip(ushort component, ReadOnlySpan<byte> body) => component switch
    {
        ComponentType.Profile => GroupProfile.TryRead(body, out var value, out _) ? value.ToBytes() : null,
        ComponentType.Picture => GroupPicture.TryRead(body, out var value, out _) ? value?.ToBytes() ?? GroupPicture.NoPicture : null,
        ComponentType.AdminPolicy => AdminPolicy.TryRead(body, out var value, out _) ? value.ToBytes() : null,
        ComponentType.NostrRouting => NostrRouting.TryRead(body, out var value, out _) ? value.ToBytes() : null,
        ComponentType.MessageRetention => MessageRetention.TryRead(body, out var value, out _) ? value.ToBytes() : null,
        ComponentType.AgentTextStream => AgentTextStream.TryRead(body, out var value, out _) ? value.ToBytes() : null,
        ComponentType.AvatarUrl => AvatarUrl.TryRead(body, out var value, out _) ? value.ToBytes() : null,
        ComponentType.AccountIdentityProof => AccountIdentityProof.TryRead(body, out var value, out _) ? value.ToBytes() : null,
        ComponentType.MediaPolicy => MediaPolicy.TryRead(body, out var value, out _) ? value.ToBytes() : null,
        ComponentType.Lifecycle => GroupLifecycle.TryRead(body, out var value, out _) ? value.ToBytes() : null,
        _ => throw new InvalidOperationException($"no reader for {component:x4}"),
    };

    [Fact]
    public void Every_body_of_the_vectors_is_read_and_written_back_or_refused()
    {
        var (good, bad) = (0, 0);
        foreach (var item in File.GetProperty("components").EnumerateArray())
        {
            ushort component = Convert.ToUInt16(item.Text("component"), 16);
            if (component < ComponentType.FirstPrivate || component == ComponentType.FrozenMedia)
            {
                continue; // lists are the MLS library's; the frozen policy is forbidden, below
            }

            byte[] body = item.Bytes("state");
            bool valid = item.GetProperty("valid").GetBoolean();
            string name = $"{item.Text("name")} {item.Text("case")}";
            Assert.True(valid ? body.AsSpan().SequenceEqual(Roundtrip(component, body)) : Roundtrip(component, body) is null, name);
            Assert.True(valid == ComponentType.FaultInGroup(component, body) is null, name);
            (good, bad) = valid ? (good + 1, bad) : (good, bad + 1);
            for (int cut = 0; valid && cut < body.Length; cut++)
            {
                Assert.True(Roundtrip(component, body.AsSpan(0, cut)) is null, $"{name} cut at {cut}");
            }

            Assert.True(!valid || Roundtrip(component, [.. body, 0]) is null, name);
        }

        Assert.Equal((13, 18), (good, bad));
    }

    [Fact]
    public void Lengths_have_the_shortest_form()
    {
        foreach (var item in File.GetProperty("varints").EnumerateArray())
        {
            int value = item.GetProperty("value").GetInt32();
            if (value < 1 << 20)
            {
                byte[] written = new VectorWriter().Vector(new byte[value]).ToArray();
                Assert.Equal(item.Bytes("encoded"), written[..^value]);
                Assert.True(new VectorCursor(written).TakeVector().Length == value);
            }
        }

        foreach (var item in File.GetProperty("non_minimal_varints_rejected").EnumerateArray())
        {
            var cursor = new VectorCursor([.. Convert.FromHexString(item.GetString()!), .. new byte[16400]]);
            cursor.TakeVector();
            Assert.True(cursor.Failed);
        }
    }

    [Theory]
    [InlineData("nostr-routing-v1-valid-state")]
    [InlineData("nostr-routing-v1-valid-update")]
    [InlineData("nostr-routing-v1-invalid-duplicate-relay")]
    public void Routings_of_mdk_are_read(string name)
    {
        var file = VectorFile.Read($"adopted/{name}.json");
        var expected = file.GetProperty("expected");
        byte[] body = file.GetProperty("bytes").Bytes("hex");
        Assert.Equal(expected.GetProperty("valid").GetBoolean(), NostrRouting.TryRead(body, out var routing, out _));
        if (routing is not null)
        {
            Assert.Equal(expected.GetProperty("fields").Text("nostr_group_id_hex"), routing.NostrGroupId.ToString());
            Assert.Equal(expected.GetProperty("fields").GetProperty("relays").EnumerateArray().Select(r => r.GetString()), routing.Relays);
            Assert.Equal(body, routing.ToBytes());
            Assert.Equal(body, NostrRouting.Of(routing.NostrGroupId, routing.Relays.Reverse()).ToBytes());
        }
    }

    [Fact]
    public void The_proof_of_the_specification_verifies_and_is_made_the_same_way()
    {
        var vector = File.GetProperty("account_identity_proof").GetProperty("spec_vector");
        byte[] signatureKey = vector.Bytes("mls_signature_key");
        Assert.True(AccountIdentityProof.TryRead(vector.Bytes("component_0x8009"), out var proof, out _));
        Assert.Equal(vector.Text("event_id"), AccountIdentityProof.Authorization(proof.Account, signatureKey, proof.CreatedAt).Id.ToString());
        Assert.True(proof.Verifies(proof.Account.Span, signatureKey));
        Assert.Equal(vector.Bytes("component_0x8009"), proof.ToBytes());

        Assert.True(SecretKey.TryParse(vector.Text("secret_key"), out var account));
        using (account)
        {
            var own = AccountIdentityProof.Create(account, signatureKey, proof.CreatedAt);
            Assert.True(own.Verifies(account.PublicKey.Span, signatureKey));
            Assert.Equal(proof.ToBytes().AsSpan(0, 40), own.ToBytes().AsSpan(0, 40));
        }
    }

    [Fact]
    public void Proofs_of_mdk_verify_for_their_leaf_and_no_other()
    {
        var packages = VectorFile.Read("adopted/mdk-events.json").GetProperty("key_packages").EnumerateArray().ToArray();
        Assert.Equal(3, packages.Length);
        foreach (var package in packages)
        {
            Assert.True(AccountIdentityProof.TryRead(package.GetProperty("proof").Bytes("component"), out var proof, out _));
            byte[] leafKey = package.Bytes("mls_signature_public");
            Assert.True(proof.Verifies(package.Bytes("nostr_pubkey"), leafKey));
            Assert.Equal(package.GetProperty("proof").Text("event_id"),
                AccountIdentityProof.Authorization(proof.Account, leafKey, proof.CreatedAt).Id.ToString());
            byte[] other = [.. leafKey];
            other[0] ^= 1;
            Assert.False(proof.Verifies(package.Bytes("nostr_pubkey"), other));
            Assert.False(proof.Verifies(other, leafKey));
        }
    }

    [Fact]
    public void A_remote_signer_must_give_the_authorization_back_unchanged()
    {
        using var account = SecretKey.Generate();
        byte[] leafKey = new byte[32];
        leafKey[5] = 7;
        var asked = AccountIdentityProof.Authorization(account.PublicKey, leafKey, 1_700_000_000);
        Assert.Equal(AccountIdentityProof.Kind, asked.Kind);

        Assert.True(AccountIdentityProof.TryTake(Signed(asked.Tags, asked.Content, asked.CreatedAt), leafKey, out var proof));
        Assert.True(proof.Verifies(account.PublicKey.Span, leafKey));
        Assert.True(AccountIdentityProof.TryTake(Signed(asked.Tags, asked.Content, asked.CreatedAt + 5), leafKey, out proof)); // the date is the signer's
        Assert.True(proof.Verifies(account.PublicKey.Span, leafKey));
        Assert.False(AccountIdentityProof.TryTake(Signed([.. asked.Tags, ["client", "x"]], asked.Content, asked.CreatedAt), leafKey, out _));
        Assert.False(AccountIdentityProof.TryTake(Signed([.. asked.Tags.Reverse()], asked.Content, asked.CreatedAt), leafKey, out _));
        Assert.False(AccountIdentityProof.TryTake(Signed(asked.Tags, asked.Content + " ", asked.CreatedAt), leafKey, out _));
        Assert.False(AccountIdentityProof.TryTake(Signed(asked.Tags, asked.Content, 0), leafKey, out _));

        NostrEvent Signed(IReadOnlyList<string[]> tags, string content, long createdAt) =>
            NostrEvent.Create(account, AccountIdentityProof.Kind, tags, content, createdAt);
    }

    [Theory]
    [InlineData(0UL, false)]
    [InlineData(1UL, true)]
    [InlineData((1UL << 53) - 1, true)]
    [InlineData(1UL << 53, false)]
    [InlineData(ulong.MaxValue, false)]
    public void The_date_of_a_proof_is_in_range(ulong createdAt, bool valid)
    {
        using var account = SecretKey.Generate();
        byte[] body = AccountIdentityProof.Create(account, new byte[32], 1).ToBytes();
        System.Buffers.Binary.BinaryPrimitives.WriteUInt64BigEndian(body.AsSpan(32), createdAt);
        Assert.Equal(valid, AccountIdentityProof.TryRead(body, out _, out _));
        Assert.False(AccountIdentityProof.TryRead(body.AsSpan(0, 103), out _, out _));
        Assert.False(AccountIdentityProof.TryRead([.. body, 0], out _, out _));
        Assert.False(AccountIdentityProof.TryRead([.. new byte[32], .. body[32..]], out _, out _));
    }
}
