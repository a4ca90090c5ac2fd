using System.Text.Json;
using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Marmot.Mls.Schedule;

namespace Marmot.Mls.Tests.Groups;

[Trait("Spec", "RFC 9420, 12")]
public class PassiveClientTests
{
    [Fact]
    public void A_welcome_opens_and_its_group_info_and_confirmation_tag_verify()
    {
        foreach (var (item, suite) in VectorFile.Suites("welcome", skipped: 2))
        {
            var package = MlsMessage.Read(item.Bytes("key_package")).KeyPackage!;
            var own = new KeyPackageSecrets(package, item.Secret("init_priv"), new SecretBytes(0), new SecretBytes(0));
            var (secrets, info, psk) = Group.OpenWelcome(MlsMessage.Read(item.Bytes("welcome")), own, new JoinRequest());
            Assert.True(info.HasValidSignature(item.Bytes("signer_pub")));
            var epoch = EpochSecrets.FromJoiner(suite, secrets.JoinerSecret, psk, info.Context.Encoded);
            Assert.Equal(suite.Mac(epoch.ConfirmationKey, info.Context.ConfirmedTranscriptHash), info.ConfirmationTag);
        }
    }

    [Theory]
    [InlineData("passive-client-welcome", 16)]
    [InlineData("passive-client-handling-commit", 26)]
    [InlineData("passive-client-random", 0)]
    public void A_passive_client_follows_every_epoch_of_the_vectors(string file, int skipped)
    {
        foreach (var (item, suite) in VectorFile.Suites(file, skipped)) Follow(item, suite);
    }

    [Fact]
    public void The_lifetime_check_refuses_the_expired_key_packages_of_the_vectors()
    {
        var (item, _) = VectorFile.Suites("passive-client-welcome", 16).First();
        var request = Request(item, new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero));
        Assert.False(Group.TryJoin(MlsMessage.Read(item.Bytes("welcome")), Own(item), request, out _, out var error));
        Assert.Equal(MlsError.LifetimeExpired, error);
    }

    private static KeyPackageSecrets Own(JsonElement item)
    {
        var package = MlsMessage.Read(item.Bytes("key_package")).KeyPackage!;
        return new(package, item.Secret("init_priv"), item.Secret("encryption_priv"),
            CipherSuite.Get(package.CipherSuite).Signature.Prepare(item.Bytes("signature_priv")));
    }

    private static JoinRequest Request(JsonElement item, DateTimeOffset? now = null)
    {
        var psks = item.GetProperty("external_psks").EnumerateArray().ToDictionary(p => p.GetProperty("psk_id").GetString()!, p => p.Bytes("psk"));
        return new JoinRequest
        {
            RatchetTree = item.OptionalBytes("ratchet_tree") is { } tree ? tree : null,
            Now = now,
            Rules = new GroupRules { ExternalPsk = id => psks.GetValueOrDefault(Convert.ToHexStringLower(id)) },
        };
    }

    private static void Follow(JsonElement item, CipherSuite suite)
    {
        var own = Own(item);
        Assert.Equal(MlsError.None, own.KeyPackage.Verify(null));
        Assert.Equal(own.KeyPackage.Leaf.EncryptionKey, suite.Kem.PublicKey(own.EncryptionPrivateKey));
        var group = Group.Join(MlsMessage.Read(item.Bytes("welcome")), own, Request(item));
        Assert.Equal(item.Bytes("initial_epoch_authenticator"), group.EpochAuthenticator);
        foreach (var epoch in item.GetProperty("epochs").EnumerateArray())
        {
            foreach (var proposal in epoch.GetProperty("proposals").EnumerateArray())
            {
                Assert.IsType<ReceivedProposal>(group.Process(MlsMessage.Read(Convert.FromHexString(proposal.GetString()!))));
            }
            var commit = Assert.IsType<ReceivedCommit>(group.Process(MlsMessage.Read(epoch.Bytes("commit")))).Commit;
            group.Merge(commit);
            Assert.Equal(epoch.Bytes("epoch_authenticator"), group.EpochAuthenticator);
        }
        Assert.True(group.Current.Keys.Match(group.Current.Tree));
    }
}
