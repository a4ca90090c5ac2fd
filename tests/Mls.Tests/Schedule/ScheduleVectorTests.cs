using Marmot.Mls.Codec;
using Marmot.Mls.Framing;
using Marmot.Mls.Messages;
using Marmot.Mls.Schedule;

namespace Marmot.Mls.Tests.Schedule;

[Trait("Spec", "RFC 9420, 8 and 9")]
public class ScheduleVectorTests
{
    [Fact]
    public void The_key_schedule_gives_every_secret_of_the_vectors()
    {
        foreach (var (item, suite) in VectorFile.Suites("key-schedule", skipped: 2))
        {
            var init = item.Bytes("initial_init_secret");
            ulong number = 0;
            foreach (var epoch in item.GetProperty("epochs").EnumerateArray())
            {
                var context = new GroupContext
                {
                    Suite = suite,
                    GroupId = item.Bytes("group_id"),
                    Epoch = number++,
                    TreeHash = epoch.Bytes("tree_hash"),
                    ConfirmedTranscriptHash = epoch.Bytes("confirmed_transcript_hash"),
                    Extensions = [],
                };
                Assert.Equal(epoch.Bytes("group_context"), context.Encoded);
                var joiner = EpochSecrets.Joiner(suite, init, epoch.Bytes("commit_secret"), context.Encoded);
                Assert.Equal(epoch.Bytes("joiner_secret"), joiner.ToArray());
                Assert.Equal(epoch.Bytes("welcome_secret"), EpochSecrets.Welcome(suite, joiner, epoch.Bytes("psk_secret")).ToArray());
                var secrets = EpochSecrets.FromJoiner(suite, joiner, epoch.Bytes("psk_secret"), context.Encoded);
                Assert.Equal(epoch.Bytes("sender_data_secret"), secrets.SenderData.ToArray());
                Assert.Equal(epoch.Bytes("encryption_secret"), secrets.Encryption.ToArray());
                Assert.Equal(epoch.Bytes("exporter_secret"), secrets.Exporter.ToArray());
                Assert.Equal(epoch.Bytes("external_secret"), secrets.External.ToArray());
                Assert.Equal(epoch.Bytes("confirmation_key"), secrets.ConfirmationKey.ToArray());
                Assert.Equal(epoch.Bytes("membership_key"), secrets.MembershipKey.ToArray());
                Assert.Equal(epoch.Bytes("resumption_psk"), secrets.Resumption.ToArray());
                Assert.Equal(epoch.Bytes("epoch_authenticator"), secrets.Authenticator.ToArray());
                Assert.Equal(epoch.Bytes("init_secret"), secrets.Init.ToArray());
                Assert.Equal(epoch.Bytes("external_pub"), secrets.ExternalKeyPair(suite).PublicKey);
                var exporter = epoch.GetProperty("exporter");
                Assert.Equal(exporter.Bytes("secret"),
                    suite.Export(secrets.Exporter, exporter.GetProperty("label").GetString()!, exporter.Bytes("context"), (int)exporter.UInt("length")));
                init = secrets.Init.ToArray();
            }
        }
    }

    [Fact]
    public void The_psk_secret_is_that_of_the_vectors()
    {
        foreach (var (item, suite) in VectorFile.Suites("psk_secret", skipped: 22))
        {
            var psks = item.GetProperty("psks").EnumerateArray()
                .Select(p => (PreSharedKeyId.External(p.Bytes("psk_id"), p.Bytes("psk_nonce")), p.Secret("psk"))).ToList();
            Assert.Equal(item.Bytes("psk_secret"), PskSecret.Compute(suite, psks).ToArray());
        }
    }

    [Fact]
    public void Transcript_hashes_and_confirmation_tag_are_those_of_the_vectors()
    {
        foreach (var (item, suite) in VectorFile.Suites("transcript-hashes", skipped: 2))
        {
            var reader = new TlsReader(item.Bytes("authenticated_content"));
            var content = AuthenticatedContent.Read(ref reader);
            reader.ExpectEnd();
            var confirmed = TranscriptHash.Confirmed(suite, item.Bytes("interim_transcript_hash_before"), content.WireFormat, content.Content,
                content.Signature);
            Assert.Equal(item.Bytes("confirmed_transcript_hash_after"), confirmed);
            Assert.Equal(content.ConfirmationTag, suite.Mac(item.Bytes("confirmation_key"), confirmed));
            Assert.Equal(item.Bytes("interim_transcript_hash_after"), TranscriptHash.Interim(suite, confirmed, content.ConfirmationTag));
        }
    }

    [Fact]
    public void The_secret_tree_gives_every_key_of_the_vectors()
    {
        foreach (var (item, suite) in VectorFile.Suites("secret-tree", skipped: 6))
        {
            var sender = item.GetProperty("sender_data");
            var key = MessageProtection.SenderDataKey(suite, sender.Bytes("sender_data_secret"), sender.Bytes("ciphertext"));
            Assert.Equal(sender.Bytes("key"), key.Key.ToArray());
            Assert.Equal(sender.Bytes("nonce"), key.Nonce.ToArray());
            var leaves = item.GetProperty("leaves").EnumerateArray().ToArray();
            var tree = new SecretTree(suite, leaves.Length, item.Secret("encryption_secret"));
            for (var leaf = 0; leaf < leaves.Length; leaf++)
            {
                foreach (var step in leaves[leaf].EnumerateArray())
                {
                    foreach (var take in (bool[])[false, true])
                    {
                        var application = take ? tree.Take(leaf, true, step.UInt("generation")) : tree.Find(leaf, true, step.UInt("generation"));
                        Assert.Equal(step.Bytes("application_key"), application.Key.ToArray());
                        Assert.Equal(step.Bytes("application_nonce"), application.Nonce.ToArray());
                        var handshake = take ? tree.Take(leaf, false, step.UInt("generation")) : tree.Find(leaf, false, step.UInt("generation"));
                        Assert.Equal(step.Bytes("handshake_key"), handshake.Key.ToArray());
                        Assert.Equal(step.Bytes("handshake_nonce"), handshake.Nonce.ToArray());
                    }
                    Assert.Equal(MlsError.GenerationUsed, Assert.Throws<MlsException>(() => tree.Find(leaf, true, step.UInt("generation"))).Error);
                }
            }
        }
    }
}
