using Marmot.Hosting.Moderating;
using Marmot.Hosting.Settings;
using Marmot.Protocol.Encoding;
using Marmot.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;

namespace Marmot.Hosting.Tests.Moderating;

[Trait("Spec", "NIP-05")]
public sealed class AllowedNamesTests
{
    private const string Alice = "3bf0c63fcb93463407af97a5e5ee64fa883d107ef9e558472c4eb9aaaefa459d";
    private const string Bob = "32e1827635450ebb3c5a7d12c1f8e7b2b514439ac10a67eef3d9fd9c5c68e245";

    [Theory]
    [InlineData("example.org", "https://example.org/.well-known/nostr.json")]
    [InlineData("alice@example.org", "https://example.org/.well-known/nostr.json?name=alice")]
    [InlineData("a@localhost:1", "http://localhost:1/.well-known/nostr.json?name=a")]
    public void Asks_where_nip_05_says(string name, string url) => Assert.Equal(url, AllowedNames.UrlOf(name).AbsoluteUri);

    [Theory]
    [InlineData("example.org", 2)]
    [InlineData("alice@example.org", 1)]
    [InlineData("ALICE@example.org", 1)]
    [InlineData("carol@example.org", 0)]
    public void Takes_all_keys_of_a_domain_or_the_one_of_a_name(string name, int count)
    {
        var json = System.Text.Encoding.UTF8.GetBytes($"{{\"names\":{{\"alice\":\"{Alice}\",\"bob\":\"{Bob}\",\"broken\":\"npub1\",\"odd\":5}}}}");
        Assert.Equal(count, AllowedNames.ReadAnswer(json, name)!.Count);
    }

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("{}")]
    [InlineData("{\"names\":[]}")]
    [InlineData("<html>")]
    public void An_answer_that_is_none_is_none(string json) => Assert.Null(AllowedNames.ReadAnswer(System.Text.Encoding.UTF8.GetBytes(json), "example.org"));

    [Fact]
    public async Task A_domain_of_the_list_lets_its_keys_in_and_its_absence_later_shuts_nobody_out()
    {
        using var folder = new TemporaryFolder();
        var isAway = false;
        var web = WebApplication.CreateSlimBuilder();
        await using var domain = web.Build();
        domain.Urls.Add("http://127.0.0.1:0");
        domain.MapGet("/.well-known/nostr.json", (HttpContext context) =>
            isAway ? Results.StatusCode(503) : Results.Text($"{{\"names\":{{\"alice\":\"{Alice}\"}}}}"));
        await domain.StartAsync();
        var host = new Uri(domain.Urls.First()).Authority;
        await File.WriteAllTextAsync(folder.File("allow"), $"# ours\n{Bob}\nalice@localhost:{host.Split(':')[1]}\n");

        var builder = MarmotHost.CreateBuilder(
            ["--Public:Urls=http://127.0.0.1:0", "--Admin:Urls=", "--Log:Level=Fatal", $"--Storage:DataDirectory={folder.Path}",
                $"--Public:AllowListFile={folder.File("allow")}"]);
        builder.Services.AddSingleton<IModerationStore>(new ModerationFile(folder.Path));
        builder.Services.AddModeration();
        await using var app = builder.Build();
        await app.StartAsync();
        var list = app.Services.GetRequiredService<AllowList>();
        Assert.True(list.IsSet);
        Assert.True(list.Contains(Bytes32.ParseHex(Bob)));
        await EventuallyAsync(() => list.Contains(Bytes32.ParseHex(Alice)));

        isAway = true;
        await File.AppendAllTextAsync(folder.File("allow"), "another.invalid\n"); // asks all again
        await EventuallyAsync(() => list.Names.Count == 2);
        Assert.True(list.Contains(Bytes32.ParseHex(Alice)));
    }

    [Fact]
    public void A_list_with_a_mistake_is_refused_at_the_start_with_its_line()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("allow"), $"{Bob}\nnonsense\n");
        var results = new PublicOptions { AllowListFile = folder.File("allow") }.Validate(
            new System.ComponentModel.DataAnnotations.ValidationContext(new object())).ToList();
        Assert.Contains("line 2", Assert.Single(results).ErrorMessage, StringComparison.Ordinal);
    }

    private static async Task EventuallyAsync(Func<bool> condition)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (!condition())
        {
            await Task.Delay(10, patience.Token);
        }
    }
}
