using System.Buffers.Binary;
using System.Globalization;
using System.Security.Cryptography;
using Marmot.Client.Storage;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Keys;

namespace Marmot.Client.Accounts;

/// <summary>The account behind a client: its key, its settings, its store and its clock.</summary>
internal sealed class Account : IDisposable
{
    private AccountRecord _record;

    private Account(ClientStore store, AccountRecord record, SecretKey key, TimeProvider time)
        => (Store, _record, Key, Time, Clock) = (store, record, key, time, new ClockWatch(time));

    public ClientStore Store { get; }

    public TimeProvider Time { get; }

    /// <summary>Notices when the clock is set.</summary>
    public ClockWatch Clock { get; }

    public SecretKey Key { get; }

    public Bytes32 PublicKey => Key.PublicKey;

    public AccountSettings Settings => _record.Settings;

    /// <summary>Unix seconds.</summary>
    public long Now => Time.GetUtcNow().ToUnixTimeSeconds();

    /// <summary>Our clock when the inbox was last read to the end, Unix seconds.</summary>
    public long InboxReadAt
    {
        get => _record.InboxReadAt;
        set
        {
            _record = _record with { InboxReadAt = value };
            Save(durable: false);
        }
    }

    /// <summary>Puts an account into a store that has none.</summary>
    /// <exception cref="ClientException">The store has an account, or the settings are not valid.</exception>
    public static void Create(ClientStore store, SecretKey? key, AccountSettings settings)
    {
        if (store.Get(AccountRecord.Key) is not null)
        {
            throw new ClientException("the store has an account already");
        }

        using var made = key is null ? SecretKey.Generate() : null;
        byte[] bytes = new byte[Bytes32.Size];
        (key ?? made!).CopyTo(bytes);
        var batch = new StoreBatch();
        batch.PutJson(AccountRecord.Key, new AccountRecord(bytes, settings.Checked()));
        store.Commit(batch);
        CryptographicOperations.ZeroMemory(bytes);
    }

    /// <summary>Opens the account of a store.</summary>
    /// <exception cref="ClientException">The store has none.</exception>
    public static Account Open(ClientStore store, TimeProvider time)
    {
        PutBackCopy.Heed(store);
        var record = store.GetJson<AccountRecord>(AccountRecord.Key) ?? throw new ClientException("the store has no account; make one first");
        return SecretKey.TryCreate(record.SecretKey, out var key)
            ? new Account(store, record, key, time)
            : throw new InvalidDataException("the store's account key is not valid");
    }

    /// <summary>Takes other settings; an empty slot keeps the one there is.</summary>
    public void Configure(AccountSettings settings)
    {
        _record = _record with { Settings = (settings with { Slot = settings.Slot.Length > 0 ? settings.Slot : Settings.Slot }).Checked() };
        Save(durable: true);
    }

    /// <summary>
    /// The time of the next version of an own replaceable or addressable event, later than every one before: of two in one second a relay keeps
    /// the lower id (NIP-01), which may be the old one's.
    /// </summary>
    public long TakeCreatedAt(int kind, string slot)
    {
        string key = string.Create(CultureInfo.InvariantCulture, $"v/{kind}/{slot}");
        long createdAt = Math.Max(Now, Store.Get(key) is { } last ? BinaryPrimitives.ReadInt64BigEndian(last) + 1 : 0);
        byte[] value = new byte[sizeof(long)];
        BinaryPrimitives.WriteInt64BigEndian(value, createdAt);
        var batch = new StoreBatch();
        batch.Put(key, value);
        Store.Commit(batch);
        return createdAt;
    }

    public void Dispose() => Key.Dispose();

    private void Save(bool durable)
    {
        var batch = new StoreBatch();
        batch.PutJson(AccountRecord.Key, _record);
        Store.Commit(batch, durable);
    }
}
