using System.Text.Json.Nodes;
using Marmot.TestKit;

namespace Marmot.Scenarios.Client;

/// <summary>What stories of real <c>marmot agent</c> processes on one suite have in common: the cast, and the steps every story takes.</summary>
public abstract class AgentStories(SuiteFixture fixture) : IAsyncLifetime
{
    private readonly TemporaryFolder _folders = new();
    private readonly List<AgentProcess> _agents = [];

    protected string Relay => fixture.Suite.RelayUrl.ToString();

    /// <summary>The profile that the accounts of a story speak.</summary>
    protected virtual string Profile => "mip";

    protected MarmotServerProcess Suite => fixture.Suite;

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        foreach (var agent in _agents)
        {
            await agent.DisposeAsync();
        }

        _folders.Dispose();
    }

    /// <summary>A process that ends with the story.</summary>
    protected AgentProcess StartProcess()
    {
        var agent = AgentProcess.Start();
        _agents.Add(agent);
        return agent;
    }

    /// <summary>An account under this name: a new one that others can invite, or the one that a process before left in its store.</summary>
    protected async Task<Named> StartAsync(string name, bool isNew = true, bool lastResort = true)
    {
        var agent = StartProcess();
        var account = new
        {
            relays = new[] { Relay },
            blossomServers = new[] { fixture.Suite.HttpUrl.ToString() },
            name,
            profile = Profile,
            stateDir = _folders.File(name)
        };
        string key = (await agent.AskAsync("init", account))["pubkey"]!.GetValue<string>();
        if (isNew)
        {
            await agent.AskAsync("publishRelayLists");
            await agent.AskAsync("publishKeyPackage", new { lastResort });
        }

        return new Named(agent, key, name);
    }

    protected async Task<Named> KillAndRestartAsync(Named agent)
    {
        await agent.KillAsync();
        return await StartAsync(agent.Name, isNew: false);
    }

    /// <summary>Alice makes a group, invites the other two, and they join.</summary>
    protected async Task<(Named Alice, Named Bob, Named Carol, string Group)> ThreeAsync()
    {
        var alice = await StartAsync("alice");
        var bob = await StartAsync("bob");
        var carol = await StartAsync("carol");
        string group = (await alice.AskAsync("createGroup", new { name = "three", description = "a story" }))["state"]!["groupId"]!.GetValue<string>();
        await alice.AskAsync("inviteMany", new { group, pubkeys = new[] { bob.Key, carol.Key } });
        foreach (var joiner in new[] { bob, carol })
        {
            Assert.Single((await joiner.AskAsync("acceptInvites", new { waitMs = 20_000 }))["groups"]!.AsArray());
        }

        await AssertAgreeAsync(group, alice, bob, carol);
        return (alice, bob, carol, group);
    }

    /// <summary>
    /// Has a member do something and kills him with SIGKILL at a named step of it: before the event of this kind leaves, or with <paramref name="answered"/>
    /// after the relay took it and before he learns of that. Then a new process goes on with what his store holds.
    /// </summary>
    protected async Task<Named> KillAtAsync(Named agent, int kind, bool answered, string command, object arguments)
    {
        await agent.AskAsync("hold", new { kinds = new[] { kind }, answers = answered });
        var step = agent.AskAsync(command, arguments);
        var held = (await agent.AskAsync("held", new { count = 1, waitMs = 20_000 }))["events"]!.AsArray();
        Assert.True(held.Count > 0, $"{command} sent no kind {kind}");
        await agent.KillAsync();
        await Assert.ThrowsAsync<EndOfStreamException>(() => step);
        return await StartAsync(agent.Name, isNew: false);
    }

    protected static async Task<(string Id, long CreatedAt)> HeldAsync(Named agent)
    {
        var held = (await agent.AskAsync("held", new { count = 1, waitMs = 20_000 }))["events"]!.AsArray().Single()!;
        return (held["id"]!.GetValue<string>(), held["created_at"]!.GetValue<long>());
    }

    protected static async Task SyncAsync(string group, params Named[] agents)
    {
        foreach (var agent in agents)
        {
            await agent.AskAsync("sync", new { group });
        }
    }

    protected static async Task<JsonObject> StateAsync(Named agent, string group) => (await agent.AskAsync("groupState", new { group }))["state"]!.AsObject();

    /// <summary>The texts a member holds, sorted.</summary>
    protected static async Task<List<string>> TextsAsync(Named agent, string group) =>
        [
            .. (await agent.AskAsync("listMessages", new { group }))["messages"]!.AsArray().Select(message => message!["content"]!.GetValue<string>())
                .Order(StringComparer.Ordinal)
        ];

    protected static async Task AssertAgreeAsync(string group, params Named[] agents)
    {
        var first = await StateAsync(agents[0], group);
        foreach (var agent in agents[1..])
        {
            var state = await StateAsync(agent, group);
            foreach (string field in new[] { "epoch", "check", "epochAuthenticator", "treeHash", "confirmedTranscriptHash", "nostrGroupId", "name" })
            {
                Assert.Equal(first[field]!.ToJsonString(), state[field]!.ToJsonString());
            }
        }
    }

    /// <summary>An agent, the account's public key in hex, and whose it is.</summary>
    protected sealed record Named(AgentProcess Agent, string Key, string Name)
    {
        public Task<JsonObject> AskAsync(string command, object? arguments = null) => Agent.AskAsync(command, arguments);

        public Task KillAsync() => Agent.KillAsync();
    }
}
