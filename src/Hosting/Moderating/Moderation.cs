using System.Net;
using Marmot.Hosting.Callers;
using Marmot.Protocol.Encoding;

namespace Marmot.Hosting.Moderating;

/// <summary>Keeps the operator's decisions. Reads are free of locks; changes come one at a time.</summary>
public sealed class Moderation : IDisposable
{
    private readonly SemaphoreSlim _changing = new(1);
    private readonly IModerationStore _store;
    private volatile Lists _lists;
    private long _version;

    /// <param name="store">Where they lie; read now.</param>
    public Moderation(IModerationStore store)
    {
        ArgumentNullException.ThrowIfNull(store);
        _store = store;
        var (version, state) = store.ReadAsync(CancellationToken.None).AsTask().GetAwaiter().GetResult();
        (_version, _lists) = (version, new Lists(state));
    }

    /// <summary>Something was decided here; the other replicas do not know yet.</summary>
    public event Action? Decided;

    /// <summary>Other decisions hold, wherever they were made.</summary>
    public event Action? Changed;

    /// <summary>What holds now.</summary>
    public ModerationState State => _lists.State;

    /// <summary>False until the decisions were read once: whoever is banned is not known before.</summary>
    public bool IsKnown => Volatile.Read(ref _version) >= 0;

    /// <summary>May neither publish nor upload.</summary>
    public bool IsKeyBanned(in Bytes32 key) => _lists.Keys.Count > 0 && _lists.Keys.Contains(key);

    /// <summary>Counts as if it stood in every allow list.</summary>
    public bool IsKeyAllowed(in Bytes32 key) => _lists.Allowed.Count > 0 && _lists.Allowed.Contains(key);

    /// <summary>Is not taken.</summary>
    public bool IsEventBanned(in Bytes32 id) => _lists.Events.Count > 0 && _lists.Events.Contains(id);

    /// <summary>Is neither taken nor served.</summary>
    public bool IsBlobBanned(in Bytes32 hash) => _lists.Blobs.Count > 0 && _lists.Blobs.Contains(hash);

    /// <summary>There are addresses that are not served.</summary>
    public bool BlocksAddresses => _lists.Addresses.Count > 0;

    /// <summary>Is not served.</summary>
    public bool IsBlocked(IPAddress? address) =>
        _lists.Addresses.Count > 0 && address is not null && _lists.Addresses.Contains(CallerAddress.Unmapped(address));

    /// <summary>Replaces the decisions, where they are kept first.</summary>
    /// <returns>What stood before, and what stands now.</returns>
    /// <exception cref="IOException">They could not be written; the old ones hold.</exception>
    public async Task<(ModerationState Before, ModerationState Now)> ChangeAsync(Func<ModerationState, ModerationState> change, CancellationToken cancel)
    {
        ArgumentNullException.ThrowIfNull(change);
        (ModerationState Before, ModerationState Now) changed;
        await _changing.WaitAsync(cancel);
        try
        {
            changed = (State, change(State));
            while (!await _store.TryReplaceAsync(_version, changed.Now, cancel))
            {
                (_version, var theirs) = await _store.ReadAsync(cancel); // another replica was faster
                changed.Now = change(theirs);
            }

            _version++;
            _lists = new Lists(changed.Now);
        }
        finally
        {
            _changing.Release();
        }

        Changed?.Invoke();
        Decided?.Invoke();
        return changed;
    }

    /// <summary>Takes over what another replica has written; null when there is nothing new.</summary>
    /// <exception cref="IOException">It cannot be read.</exception>
    public async Task<(ModerationState Before, ModerationState Now)?> RefreshAsync(CancellationToken cancel)
    {
        (ModerationState Before, ModerationState Now) changed;
        await _changing.WaitAsync(cancel);
        try
        {
            var (version, state) = await _store.ReadAsync(cancel);
            if (version == _version)
            {
                return null;
            }

            changed = (State, state);
            _lists = new Lists(state);
            Volatile.Write(ref _version, version); // after the lists: who sees that they are known sees them
        }
        finally
        {
            _changing.Release();
        }

        Changed?.Invoke();
        return changed;
    }

    /// <inheritdoc/>
    public void Dispose() => _changing.Dispose();

    private sealed class Lists(ModerationState state)
    {
        public ModerationState State { get; } = state;

        public HashSet<Bytes32> Keys { get; } = [.. state.BannedKeys.Keys.Select(Bytes32.ParseHex)];

        public HashSet<Bytes32> Allowed { get; } = [.. state.AllowedKeys.Keys.Select(Bytes32.ParseHex)];

        public HashSet<Bytes32> Events { get; } = [.. state.BannedEvents.Keys.Select(Bytes32.ParseHex)];

        public HashSet<Bytes32> Blobs { get; } = [.. state.BannedBlobs.Keys.Select(Bytes32.ParseHex)];

        public HashSet<IPAddress> Addresses { get; } = [.. state.BlockedAddresses.Keys.Select(IPAddress.Parse)];
    }
}
