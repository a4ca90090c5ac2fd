using Marmot.Client.Storage;
using Marmot.Protocol.Encoding;

namespace Marmot.Client.Convergence;

/// <summary>What is known of a state whose snapshot is kept.</summary>
/// <param name="State">The state, by its convergence commitment.</param>
/// <param name="Epoch">Its epoch.</param>
/// <param name="Parent">The state before it; null for the one joined in.</param>
/// <param name="Commit">Digest of the commit that led to it; null for the one joined in.</param>
/// <param name="Bytes">Size of its snapshot; 0 for a state on a branch that removes this client, of which only the place is known.</param>
internal sealed record SnapshotEntry(Bytes32 State, ulong Epoch, Bytes32? Parent, Bytes32? Commit, int Bytes)
{
    /// <summary>The account that made the commit.</summary>
    public Bytes32 Committer { get; init; }

    /// <summary>True when the commit needs admin rights.</summary>
    public bool IsPrivileged { get; init; }

    /// <summary>Accounts that are known to have spoken in this state: what counts as witness of its branch, whether shown or withdrawn.</summary>
    public IReadOnlyList<Bytes32> Witnesses { get; init; } = [];

    /// <summary>Key of the outer envelopes made in this state; null in a state this client was removed from.</summary>
    public byte[]? EnvelopeKey { get; init; }

    /// <summary>Public id and relays of the state: what is made in it goes there.</summary>
    public Bytes32? RoutingId { get; init; }

    /// <summary>See <see cref="RoutingId"/>.</summary>
    public IReadOnlyList<string> Relays { get; init; } = [];

    /// <summary>
    /// True when the state began with an own commit made since the store was put back from a copy, or follows one that did: its ratchets are as the store
    /// knows them.
    /// </summary>
    public bool IsFresh { get; init; }

    /// <summary>True when the commit ended the group.</summary>
    public bool IsDisbanded { get; init; }

    /// <summary>SelfRemove proposals that wait in this state.</summary>
    public IReadOnlyList<WaitingLeave> Leaves { get; init; } = [];
}

/// <summary>A SelfRemove that waits for its commit.</summary>
/// <param name="Leaf">Who leaves.</param>
/// <param name="Digest">SHA-256 of the MLSMessage: of several of one leaf the smallest is committed.</param>
/// <param name="Reference">Its ProposalRef.</param>
internal sealed record WaitingLeave(int Leaf, Bytes32 Digest, byte[] Reference);

/// <summary>
/// The MLS states a rewind may need: one of every state, taken as its epoch begins, also inside a pass, as long as its epoch lies in the window. Bounded in
/// number and bytes: states of branches that lost go first. The own line is always whole, so no losing commit inside the window ever lacks its parent there.
/// One caller at a time; written in the batch of the step.
/// </summary>
internal sealed class StateSnapshots
{
    /// <summary>States beside the own line.</summary>
    internal const int MaxRivals = 32;

    /// <summary>Bytes of states beside the own line: at 500 members a state has some 300 KiB.</summary>
    internal const long MaxRivalBytes = 16L << 20;

    private readonly ClientStore _store;
    private readonly ConvergencePolicy _policy;
    private readonly string _prefix;
    private readonly Dictionary<Bytes32, SnapshotEntry> _entries = [];

    private StateSnapshots(ClientStore store, ConvergencePolicy policy, string prefix) => (_store, _policy, _prefix) = (store, policy, prefix);

    /// <summary>What is kept, by state.</summary>
    public IReadOnlyDictionary<Bytes32, SnapshotEntry> Entries => _entries;

    /// <summary>The snapshots of a group as the store has them.</summary>
    /// <param name="store">The store.</param>
    /// <param name="policy">The constants.</param>
    /// <param name="prefix">Start of the group's keys, with the slash at its end.</param>
    public static StateSnapshots Load(ClientStore store, ConvergencePolicy policy, string prefix)
    {
        var snapshots = new StateSnapshots(store, policy, prefix);
        foreach (var (_, value) in store.Scan(snapshots.EntryKey("")))
        {
            var entry = StoreJson.Read<SnapshotEntry>(value);
            snapshots._entries[entry.State] = entry;
        }

        return snapshots;
    }

    /// <summary>Keeps a state as its epoch begins. One that is known is written again: it may have used generations since.</summary>
    public void Put(StoreBatch batch, SnapshotEntry entry, byte[] state)
    {
        Note(batch, entry with { Bytes = state.Length });
        batch.Put(StateKey(entry.State), state);
    }

    /// <summary>Writes what is known of a state, not the state itself.</summary>
    public void Note(StoreBatch batch, SnapshotEntry entry)
    {
        _entries[entry.State] = entry;
        batch.PutJson(EntryKey(entry.State.ToString()), entry);
    }

    /// <summary>Drops a state.</summary>
    public void Drop(StoreBatch batch, in Bytes32 state)
    {
        if (_entries.TryGetValue(state, out var entry))
        {
            Remove(batch, entry);
        }
    }

    /// <summary>The states as a tree with its tip where the group stands; states that hang on none of the own line are not in it.</summary>
    public BranchTree Tree(in Bytes32 tip)
    {
        var root = _entries[tip];
        while (root.Parent is { } parent && _entries.TryGetValue(parent, out var above))
        {
            root = above;
        }

        var tree = new BranchTree(_policy, root.State, root.Epoch);
        foreach (var entry in _entries.Values.Where(entry => entry.State != root.State && entry.Epoch > root.Epoch).OrderBy(entry => entry.Epoch))
        {
            if (entry is { Parent: { } parent, Commit: { } commit })
            {
                tree.TryAdd(parent, new BranchCommit(entry.Epoch, entry.State, entry.Committer, entry.IsPrivileged, commit));
            }
        }

        tree.Stand(tip);
        return tree;
    }

    /// <summary>Who is known to have spoken in which state.</summary>
    public IEnumerable<HeldMessage> Witnesses => _entries.Values.SelectMany(entry => entry.Witnesses.Select(sender => new HeldMessage(entry.State, sender)));

    /// <summary>The bytes of a state; null when it is not kept.</summary>
    public byte[]? Get(StoreBatch batch, in Bytes32 state) => _entries.ContainsKey(state) ? batch.Get(StateKey(state), _store) : null;

    /// <summary>Drops what lies before the window, then what is beyond the bounds.</summary>
    /// <param name="batch">The batch of the step.</param>
    /// <param name="tip">The selected state.</param>
    public void Forget(StoreBatch batch, in Bytes32 tip)
    {
        var line = OwnLine(tip);
        ulong tipEpoch = _entries[tip].Epoch;
        foreach (var old in _entries.Values.Where(entry => entry.Epoch + _policy.MaxRewindCommits < tipEpoch).ToList())
        {
            Remove(batch, old);
        }

        // The oldest first; among those of an epoch the largest.
        var rivals = new Queue<SnapshotEntry>(_entries.Values.Where(entry => !line.Contains(entry.State)).OrderBy(entry => entry.Epoch)
            .ThenByDescending(entry => entry.Bytes).ThenBy(entry => entry.State));
        long bytes = rivals.Sum(entry => (long)entry.Bytes);
        while (rivals.Count > MaxRivals || bytes > MaxRivalBytes)
        {
            var dropped = rivals.Dequeue();
            bytes -= dropped.Bytes;
            Remove(batch, dropped);
        }
    }

    /// <summary>The states from the oldest kept to the tip.</summary>
    public HashSet<Bytes32> OwnLine(in Bytes32 tip)
    {
        var line = new HashSet<Bytes32>();
        Bytes32? next = tip;
        while (next is { } state && line.Add(state))
        {
            next = _entries.TryGetValue(state, out var entry) ? entry.Parent : null;
        }

        return line;
    }

    private void Remove(StoreBatch batch, SnapshotEntry entry)
    {
        _entries.Remove(entry.State);
        batch.Delete(EntryKey(entry.State.ToString()));
        batch.Delete(StateKey(entry.State));
    }

    private string EntryKey(string state) => $"{_prefix}state-entry/{state}";

    private string StateKey(in Bytes32 state) => $"{_prefix}state/{state}";
}
