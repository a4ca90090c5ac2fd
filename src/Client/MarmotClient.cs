using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Globalization;
using System.Security.Cryptography;
using Marmot.Client.Accounts;
using Marmot.Client.Groups;
using Marmot.Client.Media;
using Marmot.Client.Relays;
using Marmot.Client.Storage;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;

namespace Marmot.Client;

/// <summary>One Marmot account on one device: key packages, invitations, groups, messages, media and push, by the MIP profile.</summary>
/// <remarks>
/// Every step is stored before its result leaves the process; after a crash <see cref="ResumeAsync"/> (or any sync) goes on where it stopped. What cannot be done throws
/// <see cref="ClientException"/> and leaves the state as it was. Thread-safe: steps that change a group run one after another.
/// </remarks>
public sealed partial class MarmotClient : IAsyncDisposable
{
    private readonly ClientStore _store;
    private readonly TimeProvider _time;
    private readonly SecretKey _key;
    private readonly IRelayNetwork _network;
    private readonly SemaphoreSlim _gate = new(1, 1);
    private readonly ConcurrentDictionary<string, GroupSession> _sessions = new(StringComparer.Ordinal);
    private readonly BlossomClient _blossom;
    private AccountRecord _account;

    private MarmotClient(ClientStore store, AccountRecord account, SecretKey key, IRelayNetwork network, TimeProvider time)
    {
        (_store, _account, _key, _network, _time) = (store, account, key, network, time);
        _blossom = new BlossomClient(time);
        foreach (var session in GroupSession.LoadAll(store, time, key.PublicKey))
        {
            _sessions[session.GroupId] = session;
        }

        foreach (var (id, value) in store.Scan(WrapPrefix))
        {
            _processedWraps[Bytes32.ParseHex(id[WrapPrefix.Length..])] = BinaryPrimitives.ReadInt64BigEndian(value);
        }
    }

    /// <summary>The account's public key.</summary>
    public Bytes32 PublicKey => _key.PublicKey;

    /// <summary>What the account was told.</summary>
    public AccountSettings Settings => _account.Settings;

    private long Now => _time.GetUtcNow().ToUnixTimeSeconds();

    /// <summary>True when the store holds an account.</summary>
    public static bool HasAccount(ClientStore store) => store.Get(AccountRecord.Key) is not null;

    /// <summary>Puts an account into an empty store and opens it.</summary>
    /// <param name="store">The store; owned by the caller, who closes it after the client.</param>
    /// <param name="key">The account's key; copied. Null makes a new one.</param>
    /// <param name="settings">Relays and names.</param>
    /// <param name="network">Makes the relay network for the account's key; null takes WebSockets.</param>
    /// <param name="time">The clock; null takes the system's.</param>
    /// <exception cref="ClientException">The store has an account, or no relay is valid.</exception>
    public static MarmotClient Create(ClientStore store, SecretKey? key, AccountSettings settings, Func<SecretKey, IRelayNetwork>? network = null, TimeProvider? time = null)
    {
        if (HasAccount(store))
        {
            throw new ClientException("the store has an account already");
        }

        using var made = key is null ? SecretKey.Generate() : null;
        byte[] bytes = new byte[Bytes32.Size];
        (key ?? made!).CopyTo(bytes);
        var batch = new StoreBatch();
        batch.PutJson(AccountRecord.Key, new AccountRecord(bytes, Checked(settings)));
        store.Commit(batch);
        CryptographicOperations.ZeroMemory(bytes);
        return Open(store, network, time);
    }

    /// <summary>Opens the account of a store; nothing is sent.</summary>
    /// <exception cref="ClientException">The store has none.</exception>
    public static MarmotClient Open(ClientStore store, Func<SecretKey, IRelayNetwork>? network = null, TimeProvider? time = null)
    {
        var account = store.GetJson<AccountRecord>(AccountRecord.Key) ?? throw new ClientException("the store has no account; make one first");
        if (!SecretKey.TryCreate(account.SecretKey, out var key))
        {
            throw new InvalidDataException("the store's account key is not valid");
        }

        var clock = time ?? TimeProvider.System;
        return new MarmotClient(store, account, key, network?.Invoke(key) ?? new RelayNetwork(new RelayNetworkOptions { Account = key }, clock), clock);
    }

    /// <summary>Changes relays and names; call <see cref="PublishRelayListsAsync"/> to tell others.</summary>
    public void Configure(AccountSettings settings)
    {
        _account = _account with { Settings = Checked(settings with { Slot = settings.Slot.Length > 0 ? settings.Slot : Settings.Slot }) };
        SaveAccount();
    }

    /// <summary>Tells others where to send gift wraps (kind 10050) and where to find key packages (10051).</summary>
    public async Task<IReadOnlyList<PublishedEvent>> PublishRelayListsAsync(CancellationToken cancellationToken = default)
    {
        var everywhere = RelayUrls.Distinct([.. Settings.Relays, .. Settings.InboxRelays, .. Settings.KeyPackageRelays]);
        var published = new List<PublishedEvent>();
        foreach (var (kind, relays) in new[] { (MarmotNumbers.InboxRelaysKind, Settings.InboxRelays), (MarmotNumbers.KeyPackageRelaysKind, Settings.KeyPackageRelays) })
        {
            var list = NostrEvent.Create(_key, kind, [.. relays.Select(relay => new[] { "relay", relay })], string.Empty, TakeCreatedAt(kind, string.Empty));
            published.Add(await PublishAsync(list, everywhere, cancellationToken));
        }

        return published;
    }

    /// <summary>
    /// The time of the next version of an own replaceable or addressable event, later than every one before: of two in one second a relay keeps
    /// the lower id (NIP-01), which may be the old one's.
    /// </summary>
    private long TakeCreatedAt(int kind, string slot)
    {
        string key = string.Create(CultureInfo.InvariantCulture, $"v/{kind}/{slot}");
        long createdAt = Math.Max(Now, _store.Get(key) is { } last ? BinaryPrimitives.ReadInt64BigEndian(last) + 1 : 0);
        byte[] value = new byte[sizeof(long)];
        BinaryPrimitives.WriteInt64BigEndian(value, createdAt);
        var batch = new StoreBatch();
        batch.Put(key, value);
        _store.Commit(batch);
        return createdAt;
    }

    /// <summary>Publishes one event to all of the relays at once and waits for every answer, for a bounded time each.</summary>
    internal async Task<PublishedEvent> PublishAsync(NostrEvent evt, IReadOnlyList<string> relays, CancellationToken cancellationToken)
    {
        var replies = await Task.WhenAll(relays.Select(relay => _network.PublishAsync(relay, evt, cancellationToken)));
        return new PublishedEvent(evt.Id, evt.Kind, evt.CreatedAt, replies);
    }

    /// <summary>Closes connections and wipes keys; the store stays open.</summary>
    public async ValueTask DisposeAsync()
    {
        await _network.DisposeAsync();
        _blossom.Dispose();
        foreach (var session in _sessions.Values)
        {
            session.Dispose();
        }

        _key.Dispose();
        _gate.Dispose();
    }

    private static AccountSettings Checked(AccountSettings settings)
    {
        if (settings.Relays.Concat(settings.InboxRelays).Concat(settings.KeyPackageRelays).FirstOrDefault(url => !RelayUrls.IsValid(url)) is { } wrong)
        {
            throw new ClientException($"a relay is a ws:// or wss:// URL, not {wrong}");
        }

        var relays = RelayUrls.Distinct(settings.Relays);
        var inbox = RelayUrls.Distinct(settings.InboxRelays);
        var keyPackages = RelayUrls.Distinct(settings.KeyPackageRelays);
        if (relays.Count == 0)
        {
            throw new ClientException("at least one relay is needed, a ws:// or wss:// URL");
        }

        foreach (string server in settings.BlossomServers)
        {
            if (!Uri.TryCreate(server, UriKind.Absolute, out var url) || url.Scheme is not ("http" or "https"))
            {
                throw new ClientException($"a Blossom server is an http:// or https:// URL, not {server}");
            }
        }

        return settings with
        {
            Relays = relays,
            InboxRelays = inbox.Count > 0 ? inbox : relays,
            KeyPackageRelays = keyPackages.Count > 0 ? keyPackages : relays,
            Slot = settings.Slot.Length > 0 ? settings.Slot : Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32)),
        };
    }

    private void SaveAccount(bool durable = true)
    {
        var batch = new StoreBatch();
        batch.PutJson(AccountRecord.Key, _account);
        _store.Commit(batch, durable);
    }

    // Steps that change a group or the account run one after another.
    private async Task<IDisposable> EnterAsync(CancellationToken cancellationToken)
    {
        await _gate.WaitAsync(cancellationToken);
        return new Exit(_gate);
    }

    private GroupSession Session(string groupId)
    {
        if (_sessions.TryGetValue(groupId, out var session))
        {
            return session;
        }

        // The public id works too; it is what people see in events.
        return Bytes32.TryParseHex(groupId.AsSpan(), out var routing) && _sessions.Values.FirstOrDefault(one => one.RoutingIds.Contains(routing)) is { } found
            ? found
            : throw new ClientException($"no group {groupId}");
    }

    private sealed class Exit(SemaphoreSlim gate) : IDisposable
    {
        public void Dispose() => gate.Release();
    }
}
