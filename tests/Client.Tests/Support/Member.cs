using Marmot.Client.Accounts;
using Marmot.Client.Groups;
using Marmot.Client.Storage;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Keys;

namespace Marmot.Client.Tests.Support;

/// <summary>A client of a story with its store; can be killed at any moment and started again from what its store had written.</summary>
internal sealed class Member : IAsyncDisposable
{
    internal const string Relay = "ws://relay.test/";

    private readonly string? _folder;
    private ClientStore _store;
    private readonly ManualClock _clock;
    private readonly MemoryNetwork _network;

    private Member(string? folder, ManualClock clock, MemoryNetwork network) => (_folder, _store, _clock, _network) = (folder, Open(folder), clock, network);

    public MarmotClient Client { get; private set; } = null!;

    public MemoryNetwork.View View { get; private set; } = null!;

    public ClientStore Store => _store;

    public Bytes32 Key => Client.PublicKey;

    public static async Task<Member> StartAsync(MemoryNetwork network, ManualClock clock, SecretKey? key = null, bool lastResort = true, string? folder = null,
        params string[] relays)
    {
        var member = new Member(folder, clock, network) { View = network.Connect() };
        member.Client = MarmotClient.Create(member._store, key, new AccountSettings { Relays = relays.Length > 0 ? relays : [Relay] }, _ => member.View, clock);
        await member.Client.PublishRelayListsAsync();
        await member.Client.PublishKeyPackageAsync(lastResort: lastResort);
        return member;
    }

    /// <summary>A new process on the same store, which is read anew when it lies in a folder; whatever was only in memory is gone.</summary>
    public async Task RestartAsync()
    {
        View = _network.Connect();
        await Client.DisposeAsync();
        if (_folder is not null)
        {
            _store.Dispose();
            _store = Open(_folder);
        }

        Client = MarmotClient.Open(_store, _ => View, _clock);
    }

    public GroupState State(string group) => Client.GetState(group);

    public List<string> Texts(string group) =>
        [.. Client.GetMessages(group).Where(message => message.Rumor.Kind == 9).Select(message => message.Rumor.Content)];

    private static ClientStore Open(string? folder)
    {
        if (folder is null)
        {
            return ClientStore.InMemory();
        }

        Directory.CreateDirectory(folder);
        using var secret = StoreSecret.FromKeyFile(Path.Combine(folder, "store.key"));
        return ClientStore.Open(folder, secret);
    }

    public async ValueTask DisposeAsync()
    {
        await Client.DisposeAsync();
        _store.Dispose();
    }
}
