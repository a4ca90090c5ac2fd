namespace Marmot.Scenarios.Client;

/// <summary>Groups at the sizes where Welcomes grow large, made by a <c>marmot agent</c> that is killed with SIGKILL in the middle; the members are library
/// clients.</summary>
public sealed class ManyMembersTests(SuiteFixture fixture) : AgentStories(fixture), IClassFixture<SuiteFixture>, IAsyncLifetime
{
    private const int Welcome = 1059, Commit = 445, Batch = 50, UnderWay = 16;

    private readonly List<Person> _members = [];

    async Task IAsyncLifetime.DisposeAsync()
    {
        foreach (var member in _members)
        {
            await member.DisposeAsync();
        }

        await DisposeAsync();
    }

    [Fact]
    [Trait("Spec", "MIP-02")]
    public async Task A_hundred_and_fifty_members_are_in_one_group_and_read_each_other_although_the_inviter_is_killed_while_he_owes_Welcomes()
    {
        var alice = await StartAsync("alice");
        await StartMembersAsync(149);
        string group = (await alice.AskAsync("createGroup", new { name = "many", description = "" }))["state"]!["groupId"]!.GetValue<string>();
        foreach (var batch in _members.Chunk(Batch))
        {
            // The commit is in force, some Welcomes have left, some are on their way, the rest is pending.
            await alice.AskAsync("hold", new { kinds = new[] { Welcome } });
            var inviting = alice.AskAsync("inviteMany", new { group, pubkeys = batch.Select(member => member.Key.ToString()) });
            await alice.AskAsync("held", new { count = UnderWay, waitMs = 30_000 });
            await alice.AskAsync("release", new { stop = false });
            await alice.AskAsync("held", new { count = UnderWay, waitMs = 30_000 });
            alice = await KillAndRestartAsync(alice);
            await Assert.ThrowsAsync<EndOfStreamException>(() => inviting);
        }

        Assert.Equal(150, (await StateAsync(alice, group))["leaves"]!.AsArray().Count);

        // The first and the last of each batch, and some between; the others only lie in the tree.
        var awake = new[] { 0, 1, 49, 50, 99, 100, 120, 148 }.Select(index => _members[index]).ToList();
        foreach (var member in awake)
        {
            await member.JoinAsync();
            Assert.Single(await member.Client.FetchGiftWrapsAsync());
            await member.Client.SyncAsync(group);
        }

        await awake[^1].Client.SelfUpdateAsync(group);
        await awake[0].Client.SyncAsync(group);
        await awake[0].Client.SendAsync(group, "to all of you");
        await SyncAsync(group, alice);
        await alice.AskAsync("removeMember", new { group, pubkey = _members[75].Key.ToString() });
        foreach (var member in awake)
        {
            await member.Client.SyncAsync(group);
            Assert.Equal(["to all of you"], member.Texts(group));
        }

        Person.AssertAgree(group, awake);
        var state = await StateAsync(alice, group);
        Assert.Equal(149, state["leaves"]!.AsArray().Count);
        Assert.Equal(awake[0].State(group).EpochAuthenticator, state["epochAuthenticator"]!.GetValue<string>());
    }

    [Fact]
    [Trait("Spec", "MIP-02")]
    public async Task Five_hundred_members_are_added_in_batches_by_an_inviter_killed_before_during_and_after_a_batch_and_one_of_each_batch_joins()
    {
        var alice = await StartAsync("alice");
        await StartMembersAsync(499);
        string group = (await alice.AskAsync("createGroup", new { name = "five hundred", description = "" }))["state"]!["groupId"]!.GetValue<string>();
        int number = 0;
        foreach (var batch in _members.Chunk(Batch))
        {
            object invited = new { group, pubkeys = batch.Select(member => member.Key.ToString()) };
            alice = number++ switch
            {
                2 => await KillAtAsync(alice, Commit, answered: false, "inviteMany", invited), // stored, not sent
                4 => await KillAtAsync(alice, Commit, answered: true, "inviteMany", invited), // sent, not merged
                6 => await KillAtAsync(alice, Welcome, answered: false, "inviteMany", invited), // merged, all Welcomes pending
                8 => await KillAtAsync(alice, Welcome, answered: true, "inviteMany", invited), // some Welcomes out, no answer known
                _ => await AskAsync(alice, "inviteMany", invited),
            };
        }

        Assert.Equal(500, (await StateAsync(alice, group))["leaves"]!.AsArray().Count);
        Assert.Equal(10, (await StateAsync(alice, group))["epoch"]!.GetValue<int>());
        var awake = Enumerable.Range(0, 10).Select(batch => _members[Math.Min(498, (batch * Batch) + 7)]).ToList();
        foreach (var member in awake)
        {
            await member.JoinAsync();
            Assert.Single(await member.Client.FetchGiftWrapsAsync());
            await member.Client.SyncAsync(group);
        }

        await awake[0].Client.SendAsync(group, "hello, all five hundred");
        await awake[9].Client.SyncAsync(group);
        Assert.Equal(["hello, all five hundred"], awake[9].Texts(group));
        Person.AssertAgree(group, awake);
        Assert.Equal(awake[3].State(group).EpochAuthenticator, (await StateAsync(alice, group))["epochAuthenticator"]!.GetValue<string>());
        Assert.Equal(500, awake[3].State(group).Leaves.Count);
    }

    private static async Task<Named> AskAsync(Named agent, string command, object arguments)
    {
        await agent.AskAsync(command, arguments);
        return agent;
    }

    private async Task StartMembersAsync(int count)
    {
        foreach (var part in Enumerable.Range(0, count).Chunk(8))
        {
            _members.AddRange(await Task.WhenAll(part.Select(_ => Person.StartAsync(Suite))));
        }
    }
}
