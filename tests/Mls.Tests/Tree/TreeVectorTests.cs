using System.Text.Json;
using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Messages;
using Marmot.Mls.Tree;

namespace Marmot.Mls.Tests.Tree;

[Trait("Spec", "RFC 9420, 7")]
public class TreeVectorTests
{
    [Fact]
    public void Add_update_and_remove_change_the_tree_as_in_the_vectors()
    {
        foreach (var (item, suite) in VectorFile.Suites("tree-operations", skipped: 0))
        {
            var tree = RatchetTree.Read(suite, item.Bytes("tree_before"));
            Assert.Equal(item.Bytes("tree_hash_before"), tree.TreeHash());
            var reader = new TlsReader(item.Bytes("proposal"));
            tree.Apply(Proposal.Read(ref reader), (int)item.UInt("proposal_sender"));
            Assert.Equal(item.Bytes("tree_after"), TlsWriter.Encode(tree));
            Assert.Equal(item.Bytes("tree_hash_after"), tree.TreeHash());
        }
    }

    [Fact]
    public void Resolutions_hashes_and_leaf_signatures_are_those_of_the_vectors()
    {
        foreach (var (item, suite) in VectorFile.Suites("tree-validation", skipped: 28))
        {
            var tree = RatchetTree.Read(suite, item.Bytes("tree"));
            var hashes = item.GetProperty("tree_hashes").EnumerateArray().Select(h => Convert.FromHexString(h.GetString()!)).ToArray();
            var resolutions = item.GetProperty("resolutions").EnumerateArray().Select(r => r.EnumerateArray().Select(n => n.GetInt32()).ToArray()).ToArray();
            for (var node = 0; node < TreeMath.NodeCount(tree.LeafCount); node++)
            {
                Assert.Equal(hashes[node], tree.TreeHash(node));
                Assert.Equal(resolutions[node], tree.Resolution(node));
                Assert.Equal(resolutions[node].Length == 0, tree.HasEmptyResolution(node));
            }
            tree.Validate(item.Bytes("group_id"), new ContextRules([]), now: null, own: null);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(5)]
    [InlineData(7)]
    public void Update_paths_of_the_vectors_are_processed_and_own_ones_too(int suiteId)
    {
        foreach (var (item, suite) in VectorFile.Suites("treekem", skipped: 22).Where(c => c.Suite.Id == suiteId))
        {
            var tree = RatchetTree.Read(suite, item.Bytes("ratchet_tree"));
            var groupId = item.Bytes("group_id");
            var members = item.GetProperty("leaves_private").EnumerateArray().ToDictionary(m => (int)m.UInt("index"), m => Keys(tree, m));
            var signatureKeys = item.GetProperty("leaves_private").EnumerateArray().ToDictionary(m => (int)m.UInt("index"), m => m.Bytes("signature_priv"));
            Assert.All(members.Values, keys => Assert.True(keys.Match(tree)));
            byte[] Context(byte[] treeHash) => new GroupContext
            {
                Suite = suite,
                GroupId = groupId,
                Epoch = item.GetProperty("epoch").GetUInt64(),
                TreeHash = treeHash,
                ConfirmedTranscriptHash = item.Bytes("confirmed_transcript_hash"),
                Extensions = [],
            }.Encoded;

            foreach (var v in item.GetProperty("update_paths").EnumerateArray())
            {
                var sender = (int)v.UInt("sender");
                var reader = new TlsReader(v.Bytes("update_path"));
                var path = UpdatePath.Read(ref reader);
                reader.ExpectEnd();
                var after = tree.Clone();
                TreeKem.ApplyPublic(after, sender, path, groupId, new ContextRules([]), new HashSet<int>());
                Assert.Equal(v.Bytes("tree_hash_after"), after.TreeHash());
                foreach (var (index, keys) in members.Where(m => m.Key != sender))
                {
                    var mine = keys.Clone();
                    Assert.Equal(v.Bytes("commit_secret"), TreeKem.Decrypt(after, sender, path, mine, new HashSet<int>(), Context(after.TreeHash())).ToArray());
                    Assert.True(mine.Match(after));
                }

                var ownTree = tree.Clone();
                var created = TreeKem.Create(ownTree, sender, tree.Leaf(sender)!, suite.Signature.Prepare(signatureKeys[sender]), groupId, members[sender],
                    new HashSet<int>(), Context);
                Assert.True(created.Keys.Match(ownTree));
                var seen = tree.Clone();
                TreeKem.ApplyPublic(seen, sender, created.Path, groupId, new ContextRules([]), new HashSet<int>());
                Assert.Equal(ownTree.TreeHash(), seen.TreeHash());
                Assert.True(seen.HasValidParentHashes());
                foreach (var (index, keys) in members.Where(m => m.Key != sender))
                {
                    var mine = keys.Clone();
                    Assert.Equal(created.CommitSecret.ToArray(),
                        TreeKem.Decrypt(seen, sender, created.Path, mine, new HashSet<int>(), Context(seen.TreeHash())).ToArray());
                }
            }
        }
    }

    private static TreeKeys Keys(RatchetTree tree, JsonElement member)
    {
        var keys = new TreeKeys { Leaf = (int)member.UInt("index") };
        keys.ByNode[2 * keys.Leaf] = member.Secret("encryption_priv");
        foreach (var entry in member.GetProperty("path_secrets").EnumerateArray())
        {
            var pair = TreeKem.NodeKey(tree.Suite, entry.Bytes("path_secret"));
            Assert.Equal(tree.PublicKey((int)entry.UInt("node")), pair.PublicKey);
            keys.ByNode[(int)entry.UInt("node")] = pair.PrivateKey;
        }
        return keys;
    }
}
