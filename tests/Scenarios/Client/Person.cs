using Marmot.Client;
using Marmot.Client.Accounts;
using Marmot.Client.Groups;
using Marmot.Client.Storage;
using Marmot.Protocol.Encoding;
using Marmot.TestKit;

namespace Marmot.Scenarios.Client;

/// <summary>A library client of a story, through the real relay; its store lies in a folder and outlives it.</summary>
internal sealed class Person : IAsyncDisposable
{
    private readonly string? _folder;
    private ClientStore _store;

    private Person(string? folder, ClientStore store, MarmotClient client) => (_folder, _store, Client) = (folder, store, client);

    public MarmotClient Client { get; private set; }

    public Bytes32 Key => Client.PublicKey;

    /// <summary>Makes an account and publishes its lists and key package. Without a folder its state ends with it.</summary>
    public static async Task<Person> StartAsync(MarmotServerProcess suite, string? folder = null, bool lastResort = true)
    {
        var store = Open(folder);
        var client = MarmotClient.Create(store, null,
            new AccountSettings { Relays = [suite.RelayUrl.ToString()], BlossomServers = [suite.HttpUrl.ToString()] });
        var person = new Person(folder, store, client);
        await client.PublishRelayListsAsync();
        await client.PublishKeyPackageAsync(lastResort: lastResort);
        return person;
    }

    /// <summary>A new client on the same store.</summary>
    public async Task RestartAsync()
    {
        await DisposeAsync();
        _store = Open(_folder);
        Client = MarmotClient.Open(_store);
    }

    public GroupState State(string group) => Client.GetState(group);

    public IEnumerable<string> Texts(string group) =>
        Client.GetMessages(group).Where(message => message.Rumor.Kind == 9).Select(message => message.Rumor.Content);

    public async Task JoinAsync() => Assert.Single((await Client.AcceptInvitesAsync(TimeSpan.FromSeconds(20))).Joined);

    public async ValueTask DisposeAsync()
    {
        await Client.DisposeAsync();
        _store.Dispose();
    }

    public static void AssertAgree(string group, params IEnumerable<Person> people)
    {
        var states = people.Select(person => person.State(group)).ToList();
        Assert.Single(states.Select(state => (state.Epoch, state.EpochAuthenticator, state.TreeHash, state.Check)).Distinct());
    }

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
}
