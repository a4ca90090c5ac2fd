using System.Text.Json.Nodes;

namespace Marmot.Scenarios.Client;

/// <summary>
/// The stories of files, pictures and key packages once more, each with one <c>marmot agent</c> killed with SIGKILL at a step that matters: they end as without
/// it, and nobody reads anything twice.
/// </summary>
public sealed class KillAtStepTests(SuiteFixture fixture) : AgentStories(fixture), IClassFixture<SuiteFixture>
{
    private const int KeyPackage = 30443, GroupEvent = 445;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    [Trait("Spec", "MIP-04")]
    public async Task A_file_arrives_once_and_opens_although_its_sender_is_killed_between_upload_and_message_and_its_reader_before_he_opens_it(bool answered)
    {
        var (alice, bob, carol, group) = await ThreeAsync();
        string data = Convert.ToBase64String("not for the server"u8);
        alice = await KillAtAsync(alice, GroupEvent, answered, "sendFile", new { group, data, type = "text/plain", filename = "note.txt", content = "look" });
        await alice.AskAsync("selfUpdate", new { group });
        await SyncAsync(group, bob, carol, alice);
        bob = await KillAndRestartAsync(bob);
        foreach (var member in new[] { alice, bob, carol })
        {
            var message = Assert.Single((await member.AskAsync("listMessages", new { group }))["messages"]!.AsArray());
            var file = await member.AskAsync("getFile", new { group, message = message!["id"]!.GetValue<string>() });
            Assert.Equal(data, file["data"]!.GetValue<string>());
        }

        await AssertAgreeAsync(group, alice, bob, carol);
        await AssertEventsAsync(alice, group, 4); // two invitations are one commit; the joiners' epoch, the file, the renewal
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    [Trait("Spec", "MIP-01")]
    public async Task A_group_picture_is_seen_by_all_although_the_admin_is_killed_before_his_commit_left_or_before_he_merged_it(bool answered)
    {
        var (alice, bob, carol, group) = await ThreeAsync();
        string picture = Convert.ToBase64String([.. Enumerable.Range(0, 5000).Select(i => (byte)(i * 7))]);
        alice = await KillAtAsync(alice, GroupEvent, answered, "setImage", new { group, data = picture });
        await SyncAsync(group, bob, alice, carol);
        carol = await KillAndRestartAsync(carol);
        foreach (var member in new[] { alice, bob, carol })
        {
            Assert.Equal(picture, (await member.AskAsync("getImage", new { group }))["data"]!.GetValue<string>());
        }

        await AssertAgreeAsync(group, alice, bob, carol);
        await alice.AskAsync("removeImage", new { group });
        await SyncAsync(group, bob);
        Assert.Null((await bob.AskAsync("getImage", new { group }))["data"]);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    [Trait("Spec", "MIP-00")]
    public async Task A_member_whose_key_packages_are_used_up_and_who_is_killed_while_he_publishes_another_can_be_invited_again(bool answered)
    {
        var alice = await StartAsync("alice");
        var bob = await StartAsync("bob", lastResort: false);
        string first = await GroupAsync(alice, "first"), second = await GroupAsync(alice, "second"), third = await GroupAsync(alice, "third");
        await alice.AskAsync("invite", new { group = first, pubkey = bob.Key });
        await alice.AskAsync("invite", new { group = second, pubkey = bob.Key }); // the relay still shows the used one
        bob = await KillAndRestartAsync(bob);
        var inbox = await bob.AskAsync("acceptInvites", new { waitMs = 20_000 });
        Assert.Single(inbox["groups"]!.AsArray());
        Assert.Contains("key package that is not here", Assert.Single(inbox["failed"]!.AsArray())!["reason"]!.GetValue<string>(), StringComparison.Ordinal);
        Assert.Empty((await bob.AskAsync("listKeyPackages"))["keyPackages"]!.AsArray());

        // Killed before the new one left, or when the relay had it and he did not know: then an invitation to it must still open.
        bob = await KillAtAsync(bob, KeyPackage, answered, "maintain", new { });
        if (answered)
        {
            await alice.AskAsync("invite", new { group = third, pubkey = bob.Key });
        }

        await bob.AskAsync("maintain");
        if (!answered)
        {
            await alice.AskAsync("invite", new { group = third, pubkey = bob.Key });
        }

        inbox = await bob.AskAsync("acceptInvites", new { waitMs = 20_000 });
        Assert.Equal([third], inbox["groups"]!.AsArray().Select(joined => joined!["state"]!["groupId"]!.GetValue<string>()));
        await AssertAgreeAsync(third, alice, bob);
    }

    private static async Task<string> GroupAsync(Named admin, string name) =>
        (await admin.AskAsync("createGroup", new { name, description = "" }))["state"]!["groupId"]!.GetValue<string>();

    private static async Task AssertEventsAsync(Named member, string group, int most)
    {
        JsonArray events = (await member.AskAsync("fetchGroupEvents", new { group }))["events"]!.AsArray();
        Assert.True(events.Count <= most, $"{events.Count} events lie on the relay");
    }
}
