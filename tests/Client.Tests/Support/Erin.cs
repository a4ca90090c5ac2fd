using System.Text.Json;
using Marmot.Client.Accounts;
using Marmot.Client.Groups;
using Marmot.Client.Storage;
using Marmot.Mls.Codec;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;

namespace Marmot.Client.Tests.Support;

/// <summary>The member through whose eyes the recorded groups are replayed: her key package is put into a store, everything else comes from a relay.</summary>
internal sealed class Erin : IAsyncDisposable
{
    private const string RelayUrl = "wss://relay.example.com/";

    private readonly ClientStore _store = ClientStore.InMemory();
    private readonly MemoryNetwork _network = new();

    public Erin(JsonElement file)
    {
        var clock = new ManualClock(DateTimeOffset.FromUnixTimeSeconds(file.GetProperty("clock").GetInt64() + 60));
        var erin = file.GetProperty("key_packages").GetProperty("erin");
        Assert.True(SecretKey.TryParse(erin.Text("nostr_secret_key"), out var key));
        using (key)
        {
            Client = MarmotClient.Create(_store, key, new AccountSettings { Relays = [RelayUrl] }, _ => _network.Connect(), clock);
        }

        var secrets = new TlsWriter();
        secrets.WriteFixed(erin.Bytes("key_package"));
        secrets.WriteOpaque(erin.Bytes("init_private_key"));
        secrets.WriteOpaque(erin.Bytes("encryption_private_key"));
        secrets.WriteOpaque(erin.Bytes("signature_private_key_seed"));
        var batch = new StoreBatch();
        batch.PutJson(
            KeyPackageRecord.Key(Bytes32.ParseHex(erin.Text("key_package_ref"))),
            new KeyPackageRecord(secrets.ToArray(), "slot", IsLastResort: true, erin.Event("event_30443").Id, null, 0, [RelayUrl]));
        _store.Commit(batch);
    }

    public MarmotClient Client { get; }

    public string Group => Client.GroupIds.Single();

    public async Task<GroupReport> ShowAsync(params NostrEvent[] events)
    {
        foreach (var evt in events)
        {
            _network[RelayUrl].Publish(evt);
        }

        return await Client.SyncAsync(Group);
    }

    public async Task<JoinReport> WelcomeAsync(NostrEvent wrap)
    {
        _network[RelayUrl].Publish(wrap);
        return await Client.AcceptInvitesAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await Client.DisposeAsync();
        _store.Dispose();
    }
}
