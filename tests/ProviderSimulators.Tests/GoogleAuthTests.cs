using System.Buffers.Text;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using Google.Apis.Auth.OAuth2;
using Google.Apis.Http;
using Marmot.ProviderSimulators;

namespace Marmot.ProviderSimulators.Tests;

/// <summary>Google's own library against the simulator: what push servers written with it send must be taken.</summary>
public class GoogleAuthTests
{
    private const string Scope = "https://www.googleapis.com/auth/firebase.messaging";

    [Fact]
    public async Task Takes_the_assertion_of_googles_own_library_and_then_its_push()
    {
        await using var fcm = await FcmSimulator.StartAsync(new FcmSimulatorOptions(), CancellationToken.None);
        using var trust = new PrivateTrust(fcm);
        var account = CredentialFactory.FromJson<ServiceAccountCredential>(fcm.ServiceAccountJson);
        var credential = new ServiceAccountCredential(new ServiceAccountCredential.Initializer(account.Id, account.TokenServerUrl)
        {
            Key = account.Key,
            KeyId = account.KeyId,
            ProjectId = account.ProjectId,
            Scopes = [Scope],
            HttpClientFactory = trust,
        });

        var token = await credential.GetAccessTokenForRequestAsync();

        Assert.Equal(1, fcm.IssuedTokenCount);
        Assert.Equal("https://oauth2.googleapis.com/token", trust.LastAudience); // not the token_uri of the file
        using var client = trust.CreateClient();
        using var push = new HttpRequestMessage(HttpMethod.Post, new Uri(fcm.Endpoint, $"/v1/projects/{fcm.ProjectId}/messages:send"))
        {
            Content = new StringContent("""{"message":{"token":"abc","data":{"content_available":"true"}}}""", Encoding.UTF8, "application/json"),
        };
        push.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        using var answer = await client.SendAsync(push);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.Equal(1, fcm.DeliveriesFor("abc"));
    }

    /// <summary>Trusts the simulator's authority and no other.</summary>
    private sealed class PrivateTrust(FcmSimulator fcm) : HttpClientFactory, IDisposable
    {
        private readonly List<HttpMessageHandler> _handlers = [];

        /// <summary>The aud claim of the last assertion sent.</summary>
        public string? LastAudience { get; set; }

        public HttpClient CreateClient() => new(Watch());

        public void Dispose() => _handlers.ForEach(handler => handler.Dispose());

        protected override HttpMessageHandler CreateHandler(CreateHttpClientArgs args) => Watch();

        private Watcher Watch()
        {
            var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
            policy.CustomTrustStore.Add(fcm.CaCertificate);
            var handler = new Watcher(this)
            {
                InnerHandler = new SocketsHttpHandler { SslOptions = new SslClientAuthenticationOptions { CertificateChainPolicy = policy } },
            };
            _handlers.Add(handler);
            return handler;
        }
    }

    private sealed class Watcher(PrivateTrust trust) : DelegatingHandler
    {
        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            if (request.RequestUri!.AbsolutePath == "/token")
            {
                var form = Microsoft.AspNetCore.WebUtilities.QueryHelpers.ParseQuery(await request.Content!.ReadAsStringAsync(cancellationToken));
                using var claims = JsonDocument.Parse(Base64Url.DecodeFromChars(form["assertion"].ToString().Split('.')[1]));
                trust.LastAudience = claims.RootElement.GetProperty("aud").GetString();
            }

            return await base.SendAsync(request, cancellationToken);
        }
    }
}
