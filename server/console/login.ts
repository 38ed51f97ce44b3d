import { fill, h, notice } from './dom.ts';
import { type Gateway, textOf } from './gateway.ts';

/** Asks who is there. The password goes to the store and is kept nowhere; the token is gone with the page. */
export function loginForm(
  gateway: Gateway,
  options: { readonly reason: string; readonly done: () => void },
): HTMLElement {
  const name = h('input', {
    id: 'user',
    name: 'username',
    autocomplete: 'username',
    required: true,
    spellcheck: 'false',
  });
  const password = h('input', {
    id: 'password',
    name: 'password',
    type: 'password',
    autocomplete: 'current-password',
    required: true,
  });
  const button = h('button', { type: 'submit' }, 'Log in');
  const message = h('div');
  const submit = async (): Promise<void> => {
    button.disabled = true;
    fill(message, []);
    try {
      await gateway.login(name.value, password.value);
      options.done();
    } catch (error) {
      fill(message, [notice('error', textOf(error))]);
      password.value = '';
      password.focus();
    }
    button.disabled = false;
  };
  const form = h(
    'form',
    {
      class: 'card login',
      on: {
        submit: (event) => {
          event.preventDefault();
          void submit();
        },
      },
    },
    h('h2', {}, 'Log in'),
    h('p', { class: 'quiet' }, options.reason),
    message,
    h('label', { for: 'user' }, 'User'),
    name,
    h('label', { for: 'password' }, 'Password'),
    password,
    button,
  );
  queueMicrotask(() => name.focus());
  return form;
}
