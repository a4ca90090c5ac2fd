using System.Net.Http.Headers;
using System.Text.Json;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Relay.Storage;
using Marmot.Relay.Tests.Kit;
using Marmot.Relay.Tests.Storage.Postgres;

namespace Marmot.Relay.Tests.Queries;

[Collection(PostgresFixture.Collection)]
[Trait("Spec", "NIP-50")]
public sealed class SearchTests(PostgresFixture postgres)
{
    private const long Now = 1_700_000_500;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Finds_public_text_by_every_word_newest_first_and_nothing_that_was_deleted(bool onPostgres)
    {
        await using var relay = await StartAsync(onPostgres);
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        var note = NostrEvent.Create(key, 1, [], "Badgers \"sing\" at\nNight", Now - 30);
        var article = NostrEvent.Create(key, 30023, [["d", "x"], ["title", "On badgers"]], "They sing.", Now - 20);
        var profile = NostrEvent.Create(key, 0, [], "{\"name\":\"badger\",\"about\":\"I sing\"}", Now - 10);
        var other = NostrEvent.Create(key, 1, [], "a badger is silent", Now - 5);
        var contacts = NostrEvent.Create(key, 3, [], "badgers sing", Now - 4);
        await client.PublishAllAsync([note, article, profile, other, contacts]);

        Assert.Equal(Ids(profile, article, note), await client.QueryAsync("{\"search\":\"SING badger\"}"));
        Assert.Equal(Ids(profile, article), await client.QueryAsync("{\"search\":\"badger sing language:en\",\"limit\":2}"));
        Assert.Equal(Ids(note), await client.QueryAsync("{\"search\":\"badgers sing\",\"kinds\":[1,3]}"));
        Assert.Empty(await client.QueryAsync("{\"search\":\"badgers sing\",\"kinds\":[3]}"));
        Assert.Empty(await client.QueryAsync("{\"search\":\"display_name\"}"));
        Assert.Equal(Ids(other, note), await client.QueryAsync("{\"search\":\"silent\"},{\"search\":\"night\"}"));
        await client.SendAsync("[\"COUNT\",\"c\",{\"search\":\"sing\"}]");
        Assert.Equal(3, (await client.ReceiveAsync())[2].GetProperty("count").GetInt64());

        Assert.True((await client.PublishAsync(NostrEvent.Create(key, 5, [["e", note.Id.ToString()]], "", Now))).Accepted);
        Assert.Equal(Ids(profile, article), await client.QueryAsync("{\"search\":\"sing\"}"));
    }

    [Fact]
    public async Task A_live_search_hears_what_it_would_find()
    {
        await using var relay = await StartAsync(onPostgres: false);
        await using var client = await relay.ConnectAsync();
        await using var writer = await relay.ConnectAsync();
        Assert.Empty(await client.QueryAsync("{\"search\":\"badger\"}", "live", keep: true));
        using var key = SecretKey.Generate();
        var found = NostrEvent.Create(key, 1, [], "a badger", Now);
        await writer.PublishAllAsync([NostrEvent.Create(key, 1, [], "a fox", Now), NostrEvent.Create(key, 3, [], "a badger", Now), found]);
        Assert.Equal(found.Id.ToString(), (await client.ReceiveAsync())[2].GetProperty("id").GetString());
    }

    [Fact]
    public async Task Is_named_in_the_relay_document_only_where_it_is_on_and_never_reconciled()
    {
        foreach (var on in new[] { false, true })
        {
            await using var relay = await RelayHost.StartAsync(Now, settings: ["--Relay:Search=" + on]);
            using var http = new HttpClient();
            http.DefaultRequestHeaders.Accept.Add(new MediaTypeWithQualityHeaderValue("application/nostr+json"));
            using var document = JsonDocument.Parse(await http.GetStringAsync(relay.Http));
            Assert.Equal(on, document.RootElement.GetProperty("supported_nips").EnumerateArray().Any(nip => nip.GetInt32() == 50));
            await using var client = await relay.ConnectAsync();
            await client.SendAsync("[\"NEG-OPEN\",\"n\",{\"search\":\"badger\"},\"6100000200\"]");
            var refused = await client.ReceiveAsync();
            Assert.Equal("NEG-ERR", refused[0].GetString());
            Assert.StartsWith("unsupported:", refused[2].GetString(), StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData(1, "x", "", true)]
    [InlineData(1, "see https://example.com/a", "https://example.com", true)]
    [InlineData(1, "İstanbul und Straße", "straße", true)]
    [InlineData(1, "今日は良い天気", "天気", true)]
    [InlineData(1, "x", "language:en include:spam", true)]
    [InlineData(1, "spam", "Not:here", false)]
    [InlineData(0, "no JSON", "JSON", false)]
    [InlineData(0, "{\"name\":\"\\ud800\"}", "a", false)]
    [InlineData(4, "secret", "secret", false)]
    [InlineData(443, "secret", "secret", false)]
    [InlineData(445, "secret", "secret", false)]
    [InlineData(1059, "secret", "secret", false)]
    [InlineData(30443, "secret", "secret", false)]
    public void Finds_words_in_public_kinds_only(int kind, string content, string search, bool found)
    {
        using var key = SecretKey.Generate();
        Assert.True(NostrEventReader.TryRead(NostrEvent.Create(key, kind, [], content, Now).Json.Span, out var view, out _));
        Assert.Equal(found, SearchText.Finds(search, view));
    }

    private async Task<RelayHost> StartAsync(bool onPostgres) => await RelayHost.StartAsync(Now, settings: onPostgres
        ? ["--Relay:Search=true", "--Storage:Postgres=" + await postgres.CreateDatabaseAsync()]
        : ["--Relay:Search=true"]);

    private static List<string> Ids(params NostrEvent[] events) => [.. events.Select(evt => evt.Id.ToString())];
}
