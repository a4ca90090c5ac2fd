using System.Security.Cryptography;
using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Schedule;

namespace Marmot.Mls.Tests.Schedule;

[Trait("Spec", "RFC 9420, 9")]
public class SecretTreeTests
{
    private static readonly CipherSuite Suite = CipherSuite.Get(1);

    private static SecretTree Create(int leaves = 8) => new(Suite, leaves, SecretBytes.Copy(SHA256.HashData("secret"u8)));

    private static byte[] Stored(SecretTree tree)
    {
        var writer = new TlsWriter();
        tree.Write(writer);
        return writer.ToArray();
    }

    [Fact]
    public void Looking_a_key_up_changes_nothing()
    {
        var tree = Create();
        var before = Stored(tree);
        tree.Find(5, true, 900);
        Assert.Equal(before, Stored(tree));
    }

    [Fact]
    public void A_used_key_and_the_secrets_above_it_are_gone()
    {
        var tree = Create();
        var root = SHA256.HashData("secret"u8);
        var key = tree.Take(5, true, 3);
        var stored = Stored(tree);
        Assert.True(stored.AsSpan().IndexOf(key.Key) < 0);
        Assert.True(stored.AsSpan().IndexOf(root) < 0);
        Assert.Equal(MlsError.GenerationUsed, Assert.Throws<MlsException>(() => tree.Take(5, true, 3)).Error);
        Assert.NotEmpty(tree.Take(5, true, 1).Key.ToArray());
    }

    [Fact]
    public void The_root_secret_is_wiped_once_it_was_split()
    {
        var secret = SecretBytes.Copy(SHA256.HashData("x"u8));
        var tree = new SecretTree(Suite, 2, secret);
        tree.Find(0, true, 0).Dispose();
        Assert.False(secret.IsWiped);
        tree.Next(1, true);
        Assert.True(secret.IsWiped);
    }

    [Fact]
    public void Only_the_newest_hundred_skipped_keys_are_kept()
    {
        var tree = Create();
        tree.Take(1, false, 150);
        Assert.Throws<MlsException>(() => tree.Find(1, false, 49));
        Assert.NotEmpty(tree.Find(1, false, 50).Key.ToArray());
    }

    [Fact]
    public void A_generation_too_far_ahead_is_refused()
        => Assert.Equal(MlsError.GenerationTooFarAhead, Assert.Throws<MlsException>(() => Create().Find(0, true, SecretTree.MaxForward + 1)).Error);

    [Fact]
    public void A_stored_tree_goes_on_where_it_was()
    {
        var tree = Create();
        tree.Next(2, true);
        tree.Take(3, true, 4);
        var reader = new TlsReader(Stored(tree));
        var restored = SecretTree.Read(Suite, ref reader);
        reader.ExpectEnd();
        var (generation, key) = restored.Next(2, true);
        Assert.Equal(1u, generation);
        Assert.Equal(tree.Next(2, true).Key.Key.ToArray(), key.Key.ToArray());
        Assert.Equal(tree.Take(3, true, 2).Key.ToArray(), restored.Take(3, true, 2).Key.ToArray());
        Assert.Equal(tree.Take(7, false, 0).Key.ToArray(), restored.Take(7, false, 0).Key.ToArray());
    }
}
