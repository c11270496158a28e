package core

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ask has the operations that need no database answered.
func ask(method, target, body string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	recorder := httptest.NewRecorder()
	limitBodies(Routes(map[string]http.HandlerFunc{
		"GET /v1/hello":      HelloText,
		"POST /v1/hello":     HelloText,
		"GET /v2/hello":      HelloHTML,
		"GET /version":       Answer(http.StatusOK, Version),
		"GET /contacts/for":  Answer(http.StatusOK, func(r *http.Request) (any, error) { return ParsePage(r.URL.RawQuery) }),
		"GET /contacts/{id}": Answer(http.StatusOK, func(r *http.Request) (any, error) { return ParseContactID(r.PathValue("id")) }),
		"POST /contacts":     Answer(http.StatusCreated, func(r *http.Request) (any, error) { return ReadNewContact(r) }),
		"GET /fibonacci/{n}": Answer(http.StatusOK, Fibonacci),
	})).ServeHTTP(recorder, request)
	return recorder
}

func TestHello(t *testing.T) {
	for _, one := range []struct{ method, target, form, want string }{
		{"GET", "/v1/hello", "", "Hello World!"},
		{"GET", "/v1/hello?name=Zo%C3%AB%20%F0%9F%90%99", "", "Hello Zoë 🐙!"},
		{"GET", "/v1/hello?name=%3Cb%3E%26%22", "", `Hello <b>&"!`},
		{"POST", "/v1/hello", "name=%E9%9D%99%E9%A6%99", "Hello 静香!"},
		{"POST", "/v1/hello?name=query", "name=form", "Hello query!"},
		{"POST", "/v1/hello", "", "Hello World!"},
		{"GET", "/v2/hello?name=%3Cb%20a%3D%27%22%27%3E%26", "", "<blink>Hello &lt;b a=&#x27;&quot;&#x27;&gt;&amp;!</blink>"},
	} {
		if got := ask(one.method, one.target, one.form); got.Code != 200 || got.Body.String() != one.want {
			t.Errorf("%s %s %s: %d %s", one.method, one.target, one.form, got.Code, got.Body)
		}
	}
	if got := ask("GET", "/v1/hello", "").Header().Get("Content-Type"); got != "text/plain; charset=utf-8" {
		t.Error(got)
	}
	if got := ask("GET", "/v2/hello", "").Header().Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Error(got)
	}
}

func TestStatuses(t *testing.T) {
	for target, want := range map[string]int{
		"GET /version": 200, "GET /no/such/path": 404, "GET /contacts/": 404, "DELETE /version": 405, "GET /contacts": 405,
		"POST /contacts/for": 405, "PUT /v1/hello": 405, "GET /fibonacci/0": 200, "GET /fibonacci/35": 422,
		"GET /fibonacci/-1": 422, "GET /fibonacci/x": 422, "GET /contacts/for?limit=0": 422, "GET /contacts/seven": 422,
		"GET /contacts/99999999999999": 404,
	} {
		method, path, _ := strings.Cut(target, " ")
		got := ask(method, path, "")
		if got.Code != want || (want != 200) != strings.HasPrefix(got.Body.String(), `{"detail":"`) {
			t.Errorf("%s: %d %s", target, got.Code, got.Body)
		}
	}
}

func TestWrongMethodsAreToldTheRightOnes(t *testing.T) {
	if got := ask("PUT", "/v1/hello", "").Header()["Allow"]; !slices.Equal(got, []string{"GET, HEAD, POST"}) {
		t.Error(got)
	}
}

func TestBodiesOfMoreThanAMiBAreRefused(t *testing.T) {
	contact := `{"first_name": "A", "last_name": "B", "type_id": 1}`
	for size, want := range map[int]int{LongestBody: 201, LongestBody + 1: 413, 2 * LongestBody: 413} {
		if got := ask("POST", "/contacts", contact+strings.Repeat(" ", size-len(contact))); got.Code != want {
			t.Errorf("%d bytes: %d %s", size, got.Code, got.Body)
		}
	}
	if got := ask("POST", "/v1/hello", "name="+strings.Repeat("x", LongestBody)); got.Code != 413 {
		t.Error(got.Code)
	}
}

func TestFaultsOfTheAppAreNotToldToTheClient(t *testing.T) {
	recorder := httptest.NewRecorder()
	Answer(http.StatusOK, func(*http.Request) (any, error) {
		return nil, errors.New("secret")
	})(recorder, httptest.NewRequest("GET", "/", nil))
	if recorder.Code != 500 || strings.Contains(recorder.Body.String(), "secret") {
		t.Error(recorder.Code, recorder.Body)
	}
}

func TestFibonacciStartsWithTwoOnes(t *testing.T) {
	for n, want := range []int{1, 1, 2, 3, 5, 8, 13, 21} {
		if got := fibonacci(n); got != want {
			t.Errorf("fibonacci(%d) = %d", n, got)
		}
	}
}

// A request that runs when SIGTERM comes is answered before serve returns.
func TestTermEndsRunningRequests(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	running, goOn := make(chan bool), make(chan bool)
	ended, got := make(chan error, 1), make(chan string, 1)
	go func() {
		ended <- serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			running <- true
			<-goOn
			_, _ = io.WriteString(w, "whole")
		}))
	}()
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		request, _ := http.NewRequestWithContext(ctx, "GET", "http://"+listener.Addr().String(), nil)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			got <- err.Error()
			return
		}
		defer answer.Body.Close()
		body, _ := io.ReadAll(answer.Body)
		got <- string(body)
	}()
	<-running
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	// Until the door is closed the signal hasn't been heard.
	for {
		connection, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			break
		}
		connection.Close()
		time.Sleep(time.Millisecond)
	}
	select {
	case err := <-ended:
		t.Error("serve returned while a request was running:", err)
	case <-time.After(50 * time.Millisecond): // it would return at once
	}
	close(goOn)
	if body := <-got; body != "whole" {
		t.Error(body)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
