using System.Buffers.Binary;
using System.Security.Cryptography;
using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Tree;

namespace Marmot.Mls.Schedule;

/// <summary>The key and nonce of one message. Wiped by whoever used it.</summary>
internal sealed class MessageKey(SecretBytes material) : IDisposable
{
    public ReadOnlySpan<byte> Key => material.Span[..^CipherSuite.NonceLength];
    public ReadOnlySpan<byte> Nonce => material.Span[^CipherSuite.NonceLength..];

    public static MessageKey Derive(CipherSuite suite, ReadOnlySpan<byte> secret, uint generation)
    {
        var material = new SecretBytes(suite.KeyLength + CipherSuite.NonceLength);
        Span<byte> context = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32BigEndian(context, generation);
        suite.ExpandKeyAndNonce(secret, context, material.Span[..suite.KeyLength], material.Span[suite.KeyLength..]);
        return new MessageKey(material);
    }

    public MessageKey Clone() => new(material.Clone());

    public void Write(TlsWriter writer) => writer.WriteSecret(material);

    public void Dispose() => material.Dispose();
}

/// <summary>
/// The secret tree of an epoch (RFC 9420, 9). A secret is deleted once both children are derived from it, a key once it was used. Looking a key up changes
/// nothing: the caller uses it up after the message opened and verified, so that forged messages cannot burn generations.
/// </summary>
internal sealed class SecretTree
{
    /// <summary>How far ahead of the last seen generation a message may be; 1000 as in the Marmot profile.</summary>
    public const int MaxForward = 1000;

    /// <summary>Skipped keys kept per sender and ratchet; the oldest go first; 100 as in the Marmot profile.</summary>
    public const int MaxSkipped = 100;

    private readonly CipherSuite _suite;
    private readonly int _leaves;
    private readonly SortedDictionary<int, SecretBytes> _nodes = [];
    private readonly SortedDictionary<int, Ratchet> _ratchets = []; // 2 * leaf for handshake, 2 * leaf + 1 for application

    /// <summary>Takes the encryption secret over.</summary>
    public SecretTree(CipherSuite suite, int leaves, SecretBytes encryptionSecret)
    {
        (_suite, _leaves) = (suite, leaves);
        _nodes[TreeMath.Root(leaves)] = encryptionSecret;
    }

    private SecretTree(CipherSuite suite, int leaves) => (_suite, _leaves) = (suite, leaves);

    /// <summary>The next key of our own ratchet; the ratchet moves on at once.</summary>
    public (uint Generation, MessageKey Key) Next(int leaf, bool application)
    {
        Expand(leaf);
        var generation = _ratchets[Index(leaf, application)].Generation;
        return (generation, Take(leaf, application, generation));
    }

    /// <summary>The next generation expected of a sender's application messages.</summary>
    public uint NextGeneration(int leaf) => _ratchets.TryGetValue(Index(leaf, application: true), out var ratchet) ? ratchet.Generation : 0;

    /// <summary>The key of a received message; it stays in the tree and nothing changes. Gives why there is none.</summary>
    public MlsError TryFind(int leaf, bool application, uint generation, out MessageKey? key)
    {
        key = null;
        if (leaf < 0 || leaf >= _leaves) return MlsError.BadSender;
        if (_ratchets.TryGetValue(Index(leaf, application), out var ratchet)) return ratchet.TryFind(_suite, generation, out key);

        // Nothing was used up for this sender yet: look without keeping.
        if (KeptAbove(leaf) is not { } node) return MlsError.GenerationUsed;
        using var secret = LeafSecret(leaf, node);
        ratchet = new Ratchet(_suite.DeriveSecret(secret, application ? "application"u8 : "handshake"u8));
        try
        {
            return ratchet.TryFind(_suite, generation, out key);
        }
        finally
        {
            ratchet.Wipe();
        }
    }

    /// <summary><see cref="TryFind"/>, refusing with an exception.</summary>
    public MessageKey Find(int leaf, bool application, uint generation)
    {
        var error = TryFind(leaf, application, generation, out var key);
        MlsException.ThrowIf(error != MlsError.None, error);
        return key!;
    }

    /// <summary>Uses a key up that <see cref="Find"/> gave, once its message has verified: it is deleted, those skipped before it are kept.</summary>
    public void Use(int leaf, bool application, uint generation)
    {
        MlsException.ThrowIf(leaf < 0 || leaf >= _leaves, MlsError.BadSender);
        Expand(leaf);
        _ratchets[Index(leaf, application)].Use(_suite, generation);
    }

    /// <summary><see cref="Find"/> and <see cref="Use"/> in one.</summary>
    public MessageKey Take(int leaf, bool application, uint generation)
    {
        var key = Find(leaf, application, generation);
        Use(leaf, application, generation);
        return key;
    }

    private static int Index(int leaf, bool application) => (2 * leaf) + (application ? 1 : 0);

    /// <summary>The kept node on the way from the root to the leaf; null when all of them were used up.</summary>
    private int? KeptAbove(int leaf)
    {
        for (var node = 2 * leaf; ; node = TreeMath.Parent(node))
        {
            if (_nodes.ContainsKey(node)) return node;
            if (node == TreeMath.Root(_leaves)) return null;
        }
    }

    private SecretBytes Child(ReadOnlySpan<byte> secret, bool left) => _suite.ExpandWithLabel(secret, "tree"u8, left ? "left"u8 : "right"u8, _suite.HashLength);

    /// <summary>Derives down to a leaf and keeps nothing.</summary>
    private SecretBytes LeafSecret(int leaf, int node)
    {
        var secret = _nodes[node].Clone();
        while (!TreeMath.IsLeaf(node))
        {
            var isLeft = TreeMath.IsLeafUnder(leaf, TreeMath.Left(node));
            using var above = secret;
            secret = Child(above, isLeft);
            node = isLeft ? TreeMath.Left(node) : TreeMath.Right(node);
        }
        return secret;
    }

    /// <summary>Derives down to a leaf and its two ratchets; siblings are kept, what both children were derived from is deleted.</summary>
    private void Expand(int leaf)
    {
        if (_ratchets.ContainsKey(Index(leaf, false))) return;
        var node = KeptAbove(leaf) ?? throw new MlsException(MlsError.GenerationUsed);
        while (!TreeMath.IsLeaf(node))
        {
            int left = TreeMath.Left(node), right = TreeMath.Right(node);
            using var secret = _nodes[node];
            _nodes.Remove(node);
            _nodes[left] = Child(secret, left: true);
            _nodes[right] = Child(secret, left: false);
            node = TreeMath.IsLeafUnder(leaf, left) ? left : right;
        }
        using var leafSecret = _nodes[node];
        _nodes.Remove(node);
        _ratchets[Index(leaf, false)] = new Ratchet(_suite.DeriveSecret(leafSecret, "handshake"u8));
        _ratchets[Index(leaf, true)] = new Ratchet(_suite.DeriveSecret(leafSecret, "application"u8));
    }

    public void Write(TlsWriter writer)
    {
        writer.WriteUInt32((uint)_leaves);
        var start = writer.BeginVector();
        foreach (var (node, secret) in _nodes)
        {
            writer.WriteUInt32((uint)node);
            writer.WriteSecret(secret);
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
        var leaves = reader.ReadUInt32();
        MlsException.ThrowIf(leaves == 0 || leaves > MaxCount.Leaves || (leaves & (leaves - 1)) != 0, MlsError.BadState);
        var tree = new SecretTree(suite, (int)leaves);
        for (var body = reader.ReadVector(); body.Remaining > 0;) tree._nodes[(int)body.ReadUInt32()] = body.ReadSecret(suite.HashLength);
        for (var body = reader.ReadVector(); body.Remaining > 0;) tree._ratchets[(int)body.ReadUInt32()] = Ratchet.Read(suite, ref body);
        MlsException.ThrowIf(tree._ratchets.Keys.Any(k => !tree._ratchets.ContainsKey(k ^ 1)), MlsError.BadState); // always both of a sender
        return tree;
    }

    public void Wipe()
    {
        foreach (var secret in _nodes.Values) secret.Dispose();
        foreach (var ratchet in _ratchets.Values) ratchet.Wipe();
        _nodes.Clear();
        _ratchets.Clear();
    }

    /// <summary>One symmetric ratchet of one sender: the secret of the next generation and the keys that were skipped.</summary>
    private sealed class Ratchet(SecretBytes secret)
    {
        private readonly SecretBytes _secret = secret;
        private readonly SortedDictionary<uint, MessageKey> _skipped = [];

        public uint Generation { get; private set; }

        public MlsError TryFind(CipherSuite suite, uint generation, out MessageKey? key)
        {
            key = null;
            if (generation < Generation)
            {
                key = _skipped.TryGetValue(generation, out var kept) ? kept.Clone() : null;
                return key is null ? MlsError.GenerationUsed : MlsError.None;
            }
            if (IsTooFar(generation)) return MlsError.GenerationTooFarAhead;
            if (generation == Generation)
            {
                key = MessageKey.Derive(suite, _secret, generation);
                return MlsError.None;
            }

            // Forward on the stack: the ratchet itself moves only when the key is used.
            Span<byte> room = stackalloc byte[2 * Hkdf.MaxHashLength];
            var current = room[..suite.HashLength];
            _secret.Span.CopyTo(current);
            for (var g = Generation; g < generation; g++) Step(suite, current, room.Slice(Hkdf.MaxHashLength, suite.HashLength), g);
            key = MessageKey.Derive(suite, current, generation);
            CryptographicOperations.ZeroMemory(room);
            return MlsError.None;
        }

        public void Use(CipherSuite suite, uint generation)
        {
            if (generation < Generation)
            {
                if (!_skipped.Remove(generation, out var kept)) throw new MlsException(MlsError.GenerationUsed);
                kept.Dispose();
                return;
            }
            MlsException.ThrowIf(IsTooFar(generation), MlsError.GenerationTooFarAhead);
            Span<byte> next = stackalloc byte[Hkdf.MaxHashLength];
            for (; Generation <= generation; Generation++)
            {
                // Of the skipped keys only the newest are kept: older ones need not be derived.
                if (Generation < generation && generation - Generation <= MaxSkipped) _skipped[Generation] = MessageKey.Derive(suite, _secret, Generation);
                Step(suite, _secret.Span, next[..suite.HashLength], Generation);
            }
            CryptographicOperations.ZeroMemory(next);
            while (_skipped.Count > MaxSkipped)
            {
                var oldest = _skipped.First();
                oldest.Value.Dispose();
                _skipped.Remove(oldest.Key);
            }
        }

        private bool IsTooFar(uint generation) => generation - Generation > MaxForward || generation == uint.MaxValue;

        /// <summary>Replaces a secret by that of the next generation.</summary>
        private static void Step(CipherSuite suite, Span<byte> secret, Span<byte> room, uint generation)
        {
            suite.DeriveTreeSecret(secret, "secret"u8, generation, room);
            room.CopyTo(secret);
        }

        public void Write(TlsWriter writer)
        {
            writer.WriteUInt32(Generation);
            writer.WriteSecret(_secret);
            var start = writer.BeginVector();
            foreach (var (generation, key) in _skipped)
            {
                writer.WriteUInt32(generation);
                key.Write(writer);
            }
            writer.EndVector(start);
        }

        public static Ratchet Read(CipherSuite suite, ref TlsReader reader)
        {
            var generation = reader.ReadUInt32();
            var ratchet = new Ratchet(reader.ReadSecret(suite.HashLength)) { Generation = generation };
            for (var body = reader.ReadVector(); body.Remaining > 0;)
            {
                ratchet._skipped[body.ReadUInt32()] = new MessageKey(body.ReadSecret(suite.KeyLength + CipherSuite.NonceLength));
            }
            return ratchet;
        }

        public void Wipe()
        {
            _secret.Dispose();
            foreach (var key in _skipped.Values) key.Dispose();
            _skipped.Clear();
        }
    }
}
