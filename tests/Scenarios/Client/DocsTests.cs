using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using Marmot.Client;
using Marmot.Client.Accounts;
using Marmot.Client.Storage;
using Marmot.TestKit;

namespace Marmot.Scenarios.Client;

/// <summary>The example of docs/client.md is the code below, run against the real suite.</summary>
public sealed partial class DocsTests(SuiteFixture fixture) : IClassFixture<SuiteFixture>
{
    [Fact]
    public async Task The_example_of_the_page_runs()
    {
        using var data = new TemporaryFolder();
        string folder = data.Path, relay = fixture.Suite.RelayUrl.ToString(), blossom = fixture.Suite.HttpUrl.ToString();
        // begin example
        // Each account has a folder of its own; the key file opens what is stored there.
        using var aliceSecret = StoreSecret.FromKeyFile(Path.Combine(folder, "alice.key"));
        using var aliceStore = ClientStore.Open(Path.Combine(folder, "alice"), aliceSecret);
        var settings = new AccountSettings { Relays = [relay], BlossomServers = [blossom] };
        await using var alice = MarmotClient.Create(aliceStore, key: null, settings);

        // Bob does the same, and can be invited once his key package is published.
        using var bobStore = ClientStore.InMemory();
        await using var bob = MarmotClient.Create(bobStore, key: null, settings);
        await bob.PublishRelayListsAsync();
        await bob.PublishKeyPackageAsync();

        // Alice makes a group and invites him: the commit first, the Welcome when a relay has taken it.
        var group = await alice.CreateGroupAsync("tea", "every day at four");
        await alice.InviteAsync(group.GroupId, [bob.PublicKey]);

        // Bob looks into his inbox, joins, and renews his keys, as MIP-02 asks of one who joins.
        var invitations = await bob.AcceptInvitesAsync(wait: TimeSpan.FromSeconds(10));
        var joined = invitations.Joined[0].State.GroupId;
        await bob.MaintainAsync();

        // Talk.
        await bob.SendAsync(joined, "milk or lemon?");
        var report = await alice.SyncAsync(group.GroupId);
        foreach (var message in report.Messages)
        {
            await alice.ReactAsync(group.GroupId, message.Rumor, "+");
        }

        // A file: encrypted for this epoch's members, stored in Blossom, its key kept with the message.
        var sent = await alice.SendFileAsync(group.GroupId, "the recipe"u8.ToArray(), "text/plain", "recipe.txt");
        await bob.SyncAsync(joined);
        var (media, file) = await bob.GetFileAsync(joined, sent.Rumor);

        // The group changes; whoever is removed learns of it and reads nothing more.
        await alice.UpdateGroupAsync(group.GroupId, new GroupChange { Name = "tea at five" });
        await alice.RemoveAsync(group.GroupId, bob.PublicKey);
        await bob.SyncAsync(joined);
        var isOut = !bob.GetState(joined).IsActive;
        // end example
        Assert.Equal(["milk or lemon?"], report.Messages.Select(message => message.Rumor.Content));
        Assert.Equal(("recipe.txt", "the recipe"), (media.Filename, System.Text.Encoding.UTF8.GetString(file)));
        Assert.Contains(bob.GetMessages(joined), message => message.Rumor.Kind == 7);
        Assert.True(isOut);
    }

    [Fact]
    public void The_example_in_the_client_page_is_the_one_that_runs()
    {
        string example = Example().Match(File.ReadAllText(Here())).Groups[1].Value;
        string page = File.ReadAllText(Path.Combine(MarmotServerProcess.RepositoryRoot, "docs", "client.md"));
        Assert.Contains(string.Join('\n', example.Split('\n').Select(line => line.StartsWith("        ", StringComparison.Ordinal) ? line[8..] : line)).Trim(),
            page, StringComparison.Ordinal);
    }

    private static string Here([CallerFilePath] string path = "") => path;

    [GeneratedRegex(@"// begin example\n(.*?)// end example", RegexOptions.Singleline)]
    private static partial Regex Example();
}
