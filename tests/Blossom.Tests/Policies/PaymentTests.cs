using System.Net;
using Marmot.Blossom.Policies;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Keys;
using Microsoft.Extensions.DependencyInjection;

namespace Marmot.Blossom.Tests.Policies;

[Trait("Spec", "BUD-07")]
public sealed class PaymentTests
{
    private static readonly byte[] Large = BlossomServer.RandomBlob(2000);

    [Fact]
    public async Task A_desk_of_the_host_asks_for_payment_and_the_proof_lets_the_upload_pass()
    {
        var desk = new TestDesk();
        await using var server = await StartAsync(desk);
        using var key = SecretKey.Generate();
        Assert.Equal(HttpStatusCode.Created, (await server.UploadAsync(key, [1])).StatusCode);

        using var due = await server.UploadAsync(key, Large, "image/png", ("X-SHA-256", BlossomServer.HashOf(Large).ToString()));
        Assert.Equal(HttpStatusCode.PaymentRequired, due.StatusCode);
        Assert.Equal("creqA-test", due.Header("X-Cashu"));
        Assert.Equal("lnbc-test", due.Header("X-Lightning"));
        Assert.Contains("X-Cashu", due.Header("Access-Control-Expose-Headers"), StringComparison.Ordinal);
        Assert.NotNull(due.Header("X-Reason"));
        Assert.Equal(new PaymentQuestion(BlossomServer.HashOf(Large), 2000, "image/png", false, null, null), desk.Last);

        using var bad = await server.UploadAsync(key, Large, headers: ("X-Cashu", "forged"));
        Assert.Equal(HttpStatusCode.BadRequest, bad.StatusCode);
        Assert.NotNull(bad.Header("X-Reason"));
        Assert.Single(server.BlobFiles());
        Assert.Equal(HttpStatusCode.Created, (await server.UploadAsync(key, Large, headers: ("X-Cashu", "paid"))).StatusCode);
    }

    [Fact]
    public async Task The_preflight_tells_the_price_and_is_not_paid()
    {
        var desk = new TestDesk();
        await using var server = await StartAsync(desk);
        using var key = SecretKey.Generate();
        using var answer = await server.SendAsync(
            HttpMethod.Head, "/upload", ("Authorization", server.Token(key, BlossomVerb.Upload, BlossomServer.HashOf(Large))),
            ("X-SHA-256", BlossomServer.HashOf(Large).ToString()), ("X-Content-Length", "2000"));
        Assert.Equal(HttpStatusCode.PaymentRequired, answer.StatusCode);
        Assert.Equal("creqA-test", answer.Header("X-Cashu"));
        Assert.True(desk.Last!.IsPreflight);
    }

    [Fact]
    public async Task A_token_that_is_not_good_is_refused_before_the_desk_is_asked()
    {
        var desk = new TestDesk();
        await using var server = await StartAsync(desk);
        using var key = SecretKey.Generate();
        using var request = new HttpRequestMessage(HttpMethod.Put, "/upload") { Content = new ByteArrayContent(Large) };
        Assert.Equal(HttpStatusCode.Unauthorized, (await server.Http.SendAsync(request)).StatusCode);
        Assert.Null(desk.Last);
    }

    private static Task<BlossomServer> StartAsync(IPaymentDesk desk) => BlossomServer.StartWithAsync(services => services.AddSingleton(desk));

    /// <summary>Above a kilobyte it costs.</summary>
    private sealed class TestDesk : IPaymentDesk
    {
        public PaymentQuestion? Last { get; private set; }

        public ValueTask<PaymentAnswer> CheckAsync(PaymentQuestion question, CancellationToken cancellationToken)
        {
            Last = question;
            return ValueTask.FromResult(question switch
            {
                { Bytes: <= 1000 } or { Cashu: "paid" } => new PaymentAnswer(PaymentVerdict.Settled),
                { Cashu: null } => new PaymentAnswer(PaymentVerdict.Due, "creqA-test", "lnbc-test"),
                _ => new PaymentAnswer(PaymentVerdict.BadProof),
            });
        }
    }
}
