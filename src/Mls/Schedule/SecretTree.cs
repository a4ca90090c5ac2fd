using System.Security.Cryptography;
using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Tree;

namespace Marmot.Mls.Schedule;

/// <summary>The key and nonce of one message. Wiped by whoever used it.</summary>
internal sealed record MessageKey(byte[] Key, byte[] Nonce)
{
    public void Wipe()
    {
        CryptographicOperations.ZeroMemory(Key);
        CryptographicOperations.ZeroMemory(Nonce);
    }
}

/// <summary>
/// The secret tree of an epoch (RFC 9420, 9). A secret is deleted once both children are derived from it, a key once it was used. Looking a key up changes nothing:
/// the caller confirms after the message opened and verified, so that forged messages cannot burn generations.
/// </summary>
internal sealed class SecretTree
{
    /// <summary>How far ahead of the last seen generation a message may be; 1000 as in the Marmot profile.</summary>
    public const int MaxForward = 1000;

    /// <summary>Skipped keys kept per sender and ratchet; the oldest go first; 100 as in the Marmot profile.</summary>
    public const int MaxSkipped = 100;

    private readonly CipherSuite _suite;
    private readonly int _leaves;
    private readonly SortedDictionary<int, byte[]> _nodes = [];
    private readonly SortedDictionary<int, Ratchet> _ratchets = []; // 2 * leaf for handshake, 2 * leaf + 1 for application

    /// <summary>Takes a copy of the encryption secret and wipes the caller's.</summary>
    public SecretTree(CipherSuite suite, int leaves, byte[] encryptionSecret)
    {
        (_suite, _leaves) = (suite, leaves);
        _nodes[TreeMath.Root(leaves)] = [.. encryptionSecret];
        CryptographicOperations.ZeroMemory(encryptionSecret);
    }

    private SecretTree(CipherSuite suite, int leaves) => (_suite, _leaves) = (suite, leaves);

    /// <summary>The next key of our own ratchet; the ratchet moves on at once.</summary>
    public (uint Generation, MessageKey Key) Next(int leaf, bool application)
    {
        var generation = Ratchets(leaf)[application ? 1 : 0].Generation;
        return (generation, Find(leaf, application, generation, confirm: true));
    }

    /// <summary>The key of a received message. With <paramref name="confirm"/> it is deleted from the tree, otherwise nothing changes.</summary>
    public MessageKey Find(int leaf, bool application, uint generation, bool confirm)
    {
        if (confirm && !_ratchets.ContainsKey(2 * leaf)) Expand(leaf);
        var ratchet = Ratchets(leaf)[application ? 1 : 0];
        return ratchet.Find(_suite, generation, confirm);
    }

    private Ratchet[] Ratchets(int leaf)
    {
        MlsException.ThrowIf(leaf < 0 || leaf >= _leaves, MlsError.BadSender);
        if (_ratchets.TryGetValue(2 * leaf, out var handshake)) return [handshake, _ratchets[(2 * leaf) + 1]];
        return FromLeafSecret(Descend(leaf, null));
    }

    private Ratchet[] FromLeafSecret(byte[] secret) => [
        new Ratchet(_suite.DeriveSecret(secret, "handshake"u8)),
        new Ratchet(_suite.DeriveSecret(secret, "application"u8))];

    /// <summary>Derives down to the leaf; siblings are reported for keeping.</summary>
    private byte[] Descend(int leaf, Action<int, byte[]?>? keep)
    {
        var node = 2 * leaf;
        while (!_nodes.ContainsKey(node))
        {
            MlsException.ThrowIf(node == TreeMath.Root(_leaves), MlsError.GenerationUsed);
            node = TreeMath.Parent(node);
        }
        var secret = _nodes[node];
        keep?.Invoke(node, null);
        while (!TreeMath.IsLeaf(node))
        {
            int left = TreeMath.Left(node), right = TreeMath.Right(node);
            var isLeft = TreeMath.IsLeafUnder(leaf, left);
            keep?.Invoke(isLeft ? right : left, _suite.ExpandWithLabel(secret, "tree"u8, isLeft ? "right"u8 : "left"u8, _suite.HashLength));
            var next = _suite.ExpandWithLabel(secret, "tree"u8, isLeft ? "left"u8 : "right"u8, _suite.HashLength);
            if (keep is not null) CryptographicOperations.ZeroMemory(secret);
            (node, secret) = (isLeft ? left : right, next);
        }
        return secret;
    }

    private void Expand(int leaf)
    {
        MlsException.ThrowIf(leaf < 0 || leaf >= _leaves, MlsError.BadSender);
        var secret = Descend(leaf, (node, sibling) =>
        {
            if (sibling is null) _nodes.Remove(node);
            else _nodes[node] = sibling;
        });
        var ratchets = FromLeafSecret(secret);
        CryptographicOperations.ZeroMemory(secret);
        (_ratchets[2 * leaf], _ratchets[(2 * leaf) + 1]) = (ratchets[0], ratchets[1]);
    }

    public void Write(TlsWriter writer)
    {
        writer.WriteUInt32((uint)_leaves);
        var start = writer.BeginVector();
        foreach (var (node, secret) in _nodes)
        {
            writer.WriteUInt32((uint)node);
            writer.WriteOpaque(secret);
        }
        writer.EndVector(start);
        start = writer.BeginVector();
        foreach (var (index, ratchet) in _ratchets)
        {
            writer.WriteUInt32((uint)index);
            ratchet.Write(writer);
        }
        writer.EndVector(start);
    }

    public static SecretTree Read(CipherSuite suite, ref TlsReader reader)
    {
        var tree = new SecretTree(suite, (int)reader.ReadUInt32());
        for (var body = reader.ReadVector(); body.Remaining > 0;) tree._nodes[(int)body.ReadUInt32()] = body.ReadBytes();
        for (var body = reader.ReadVector(); body.Remaining > 0;) tree._ratchets[(int)body.ReadUInt32()] = Ratchet.Read(ref body);
        return tree;
    }

    public void Wipe()
    {
        foreach (var secret in _nodes.Values) CryptographicOperations.ZeroMemory(secret);
        foreach (var ratchet in _ratchets.Values) ratchet.Wipe();
        _nodes.Clear();
        _ratchets.Clear();
    }

    /// <summary>One symmetric ratchet of one sender: the secret of the next generation and the keys that were skipped.</summary>
    private sealed class Ratchet(byte[] secret)
    {
        private byte[] _secret = secret;
        private readonly SortedDictionary<uint, MessageKey> _skipped = [];

        public uint Generation { get; private set; }

        public MessageKey Find(CipherSuite suite, uint generation, bool confirm)
        {
            if (generation < Generation)
            {
                if (!_skipped.TryGetValue(generation, out var kept)) throw new MlsException(MlsError.GenerationUsed);
                if (confirm) _skipped.Remove(generation);
                return confirm ? kept : new MessageKey([.. kept.Key], [.. kept.Nonce]);
            }
            MlsException.ThrowIf(generation - Generation > MaxForward || generation == uint.MaxValue, MlsError.GenerationTooFarAhead);
            byte[] secret = [.. _secret];
            for (var g = Generation; ; g++)
            {
                var last = g == generation;
                var key = last || confirm ? new MessageKey(suite.DeriveTreeSecret(secret, "key"u8, g, suite.KeyLength), suite.DeriveTreeSecret(secret, "nonce"u8, g, CipherSuite.NonceLength)) : null;
                if (last && !confirm)
                {
                    CryptographicOperations.ZeroMemory(secret);
                    return key!;
                }
                var next = suite.DeriveTreeSecret(secret, "secret"u8, g, suite.HashLength);
                CryptographicOperations.ZeroMemory(secret);
                secret = next;
                if (!last)
                {
                    if (key is not null) _skipped[g] = key;
                    continue;
                }
                CryptographicOperations.ZeroMemory(_secret);
                (_secret, Generation) = (secret, generation + 1);
                while (_skipped.Count > MaxSkipped)
                {
                    var oldest = _skipped.First();
                    oldest.Value.Wipe();
                    _skipped.Remove(oldest.Key);
                }
                return key!;
            }
        }

        public void Write(TlsWriter writer)
        {
            writer.WriteUInt32(Generation);
            writer.WriteOpaque(_secret);
            var start = writer.BeginVector();
            foreach (var (generation, key) in _skipped)
            {
                writer.WriteUInt32(generation);
                writer.WriteOpaque(key.Key);
                writer.WriteOpaque(key.Nonce);
            }
            writer.EndVector(start);
        }

        public static Ratchet Read(ref TlsReader reader)
        {
            var generation = reader.ReadUInt32();
            var ratchet = new Ratchet(reader.ReadBytes()) { Generation = generation };
            for (var body = reader.ReadVector(); body.Remaining > 0;) ratchet._skipped[body.ReadUInt32()] = new MessageKey(body.ReadBytes(), body.ReadBytes());
            return ratchet;
        }

        public void Wipe()
        {
            CryptographicOperations.ZeroMemory(_secret);
            foreach (var key in _skipped.Values) key.Wipe();
            _skipped.Clear();
        }
    }
}
